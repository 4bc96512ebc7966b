"""What commands may spend, and what they say that they have spent."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.bill import spent
from syft_flwr.cli.main import app
from syft_flwr.clock import SystemClock
from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.drive.spending import read_spending
from syft_flwr.flower import roles
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, load_settings
from syft_flwr.testing import DriveEmulator

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ME, OWNER = "me@example.com", "do1@example.com"
RUN = ["--email", OWNER, "--aggregator", "agg@example.com", "--datasite", OWNER, "--auto-approve"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.delenv("SYFTBOX_EMAIL", raising=False)
    for variable in ("SYFT_FLWR_QUOTA_PER_MINUTE", "SYFT_FLWR_QUOTA_PER_DAY"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int | None]]:
    """Take down with which limits an owner would serve, instead of serving."""
    found: list[tuple[int | None, int | None]] = []

    def note(*_: object, **__: object) -> bool:
        settings = load_settings()
        found.append((settings.quota_units_per_minute, settings.quota_units_per_day))
        return True

    monkeypatch.setattr(roles, "run_owner", note)
    return found


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_limits_come_from_options_the_environment_or_the_project_in_this_order(
    limits: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(DIGITS, project)
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n[tool.syft_flwr]\nquota_units_per_minute = 5000\nquota_units_per_day = 90000\n")
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_DAY", "80000")
    done = invoke("run", str(project), *RUN, "--quota-per-minute", "4000")
    assert done.exit_code == 0, done.output
    del os.environ["SYFT_FLWR_QUOTA_PER_MINUTE"]
    assert invoke("run", str(project), *RUN).exit_code == 0
    del os.environ["SYFT_FLWR_QUOTA_PER_MINUTE"]
    assert limits == [(4000, 80000), (5000, 80000)]


def test_a_limit_of_the_project_that_is_no_number_is_refused(limits: list[Any], tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(DIGITS, project)
    with (project / "pyproject.toml").open("a") as file:
        file.write('\n[tool.syft_flwr]\nquota_units_per_minute = "many"\n')
    done = invoke("run", str(project), *RUN)
    assert (done.exit_code, limits) == (1, [])
    assert "quota_units_per_minute" in done.output
    assert "whole number" in done.output


@pytest.mark.parametrize("value", ["0", "-5", "399", "1.5", "many"])
@pytest.mark.parametrize("option", ["--quota-per-minute", "--quota-per-day"])
def test_a_limit_that_nothing_fits_into_is_refused_before_anything_starts(
    limits: list[Any], option: str, value: str
) -> None:
    done = invoke("run", str(DIGITS), *RUN, option, value)
    assert (done.exit_code, limits) == (2, [])


def test_a_limit_that_is_given_twice_is_refused_before_anything_starts(limits: list[Any]) -> None:
    done = invoke("run", str(DIGITS), *RUN, "--quota-per-minute", "1000", "--quota-per-minute", "2000")
    assert (done.exit_code, limits) == (2, [])
    assert "--quota-per-minute is given 2 times; give it once" in done.output


def test_quota_tells_what_was_spent_and_on_what() -> None:
    directory = state_directory(Path(os.environ["SYFT_FLWR_STATE_DIR"]), ME, "http://127.0.0.1:9")
    directory.mkdir(parents=True)
    budget = AccountBudget(per_minute=1_000, per_day=50_000, path=directory / "budget", who="syft-flwr run (7)")
    budget.note_saving("peeks", 9_500)
    budget.reserve(200, resting=False, clock=SystemClock(), ahead=None, method="files.get_media")
    done = invoke("quota", "--email", ME)
    assert done.exit_code == 0
    for text in (
        "200  of 1,000",
        "200  of 50,000",
        "receiving",
        "files.get_media",
        "syft-flwr run (7)",
        "400,000,000",
        "saved by",
        "9,500",
    ):
        assert text in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    figures = json.loads(invoke("quota", "--email", ME, "--json").output)
    assert (figures["account"], figures["minute"], figures["today"]) == (ME, 200, 200)
    assert figures["purposes"] == {"receiving": 200}
    assert figures["savings"] == {"peeks": 9_500}


def test_quota_of_an_account_that_has_spent_nothing_is_nothing() -> None:
    figures = json.loads(invoke("quota", "--email", ME, "--json").output)
    assert (figures["today"], figures["methods"]) == (0, {})


def test_quota_without_an_account_says_how_to_name_one() -> None:
    done = invoke("quota")
    assert done.exit_code == 1
    assert "--email" in done.output


def test_the_aggregator_does_not_run_once() -> None:
    done = invoke("run", str(DIGITS), "--email", "agg@example.com", *RUN[2:], "--once")
    assert done.exit_code == 1
    assert "for data owners" in done.output


def test_what_is_left_over_is_told_by_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "run_owner", lambda *_, **__: False)
    done = invoke("run", str(DIGITS), *RUN, "--once", "--max-runtime", "5")
    assert done.exit_code == 75
    assert "the next run goes on" in done.output


def test_status_tells_what_a_day_comes_to_and_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = state_directory(Path(os.environ["SYFT_FLWR_STATE_DIR"]), ME, "http://127.0.0.1:9")
    directory.mkdir(parents=True)
    budget = AccountBudget(path=directory / "budget", who="syft-flwr run (7)")
    budget.note_saving("inlined bodies", 400)
    budget.reserve(200, resting=False, clock=SystemClock(), ahead=None, method="files.get_media")
    told = invoke("status", "--email", ME).output
    assert "until midnight at this pace" in told
    assert "400 by inlined bodies today" in told
    spending = json.loads(invoke("status", "--email", ME, "--json").output)["spending"]
    assert (spending["today"], spending["savings"]) == (200, {"inlined bodies": 400})
    assert spending["until_midnight"] >= 200


def test_a_bill_says_what_was_saved() -> None:
    meter = QuotaMeter()
    meter.book("changes.getStartPageToken")
    meter.book_saving("peeks", 95, 0)
    assert spent(meter.snapshot().to_json()) == "spent 5 quota units in 1 call, saved 95 (peeks 95)"


PEEK = 5
COMMANDS = [
    ["send", OWNER, "messages", "--app", "flwr/diabetes", "--file", __file__, "--timeout", "0"],
    ["peers", "list"],
    ["peers", "add", OWNER, "--app", "flwr/diabetes"],
    ["peers", "remove", OWNER, "--yes"],
    ["clean", "--drive", "--yes"],
    ["doctor", "--read-only"],
    ["watch", "--count", "1"],
    ["record", "--out", "feed.jsonl", "--for", "0.1"],
]


@pytest.mark.parametrize("option", ["--quota-per-minute", "--quota-per-day"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_every_command_that_talks_to_drive_takes_limits(command: list[str], option: str) -> None:
    done = invoke(*command, "--email", ME, option, "399")
    assert done.exit_code == 2
    assert "400" in done.output


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_every_command_says_what_it_has_spent_and_the_account_s_bill_has_it_all(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if as_json:
        monkeypatch.setenv("SYFT_FLWR_LOG_FORMAT", "json")
    for command in COMMANDS:
        if command[0] == "watch":
            continue  # it waits for a message
        drive.clear_log()
        told = invoke(*command, "--email", ME).stderr.splitlines()
        spent_now = sum(row["units"] for row in drive.stats()[ME].values())
        if as_json:
            (bill,) = [json.loads(line) for line in told if line.startswith('{"event": "bill"')]
            assert bill["account"] == ME
            units = bill["units"]
        else:
            (units,) = [
                int(word.replace(",", "")) for word in re.findall(r"spent ([\d,]+) quota units", "\n".join(told))
            ]
        assert units - spent_now in {0, PEEK if command[0] == "record" else 0}, (
            "a poll that is broken off counts as well"
        )
    directory = state_directory(Path(os.environ["SYFT_FLWR_STATE_DIR"]), ME, load_endpoint().url)
    spending = read_spending(directory / "budget")
    assert spending.today + sum(spending.days.values()) > 1_000, "it may have run across midnight"


def test_a_command_keeps_to_the_limit_that_the_account_s_processes_keep_to(drive: DriveEmulator) -> None:
    directory = state_directory(Path(os.environ["SYFT_FLWR_STATE_DIR"]), ME, load_endpoint().url)
    directory.mkdir(parents=True)
    budget = AccountBudget(per_day=1_000, path=directory / "budget")
    budget.reserve(1_000, resting=False, clock=SystemClock(), ahead=None, method="files.create")
    done = invoke("peers", "list", "--email", ME)
    assert done.exit_code == 1
    assert "1,000 quota units a day are spent" in done.output
    assert ME not in drive.stats()
