"""Log lines: as text, or as JSON that programs read among the events."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from syft_flwr.cli import main
from syft_flwr.cli.main import app

COMMAND = [sys.executable, "-m", "syft_flwr.cli.main"]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that logs."""

    def talk(as_json: bool = typer.Option(False, "--json")) -> None:
        logging.getLogger("syft_flwr.talk").info("as asked")
        logging.getLogger("syft_flwr.talk").warning("look\x1b[31m")
        logging.getLogger("somebody.else").warning("me, too: %s", as_json)
        try:
            json.loads("odd")
        except ValueError:
            logging.getLogger("syft_flwr.talk").exception("it failed")

    other = typer.Typer(cls=main.Commands)
    other.command()(talk)
    other.callback()(main.main)
    monkeypatch.setattr(main, "app", other)


def lines(*arguments: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(main.app, arguments)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize("arguments", [["--log-format", "json", "talk"], ["talk", "--json"]])
def test_every_log_line_is_a_line_of_json(talkative: None, arguments: list[str]) -> None:
    first, second, third = lines(*arguments)
    assert (first["event"], first["level"], first["logger"]) == ("log", "warning", "syft_flwr.talk")
    assert first["message"] == r"look\x1b[31m"
    assert second["logger"] == "somebody.else"
    assert "JSONDecodeError: " in str(third["traceback"])
    assert isinstance(first["time"], float)


def test_more_is_told_as_json_too_and_nothing_stays_when_the_command_has_ended(talkative: None) -> None:
    before = logging.getLogger().handlers[:]
    assert lines("talk", "--json", "-v")[0]["message"] == "as asked"
    assert logging.getLogger().handlers == before
    assert "SYFT_FLWR_LOG_FORMAT" not in os.environ


def test_a_variable_says_it_once_and_for_all(talkative: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFT_FLWR_LOG_FORMAT", "json")
    assert len(lines("talk")) == 3
    monkeypatch.setenv("SYFT_FLWR_LOG_FORMAT", "xml")
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == 2
    assert "'xml'" in done.output


def test_an_error_ends_a_command_with_a_line_of_json(plain_environment: None) -> None:
    done = CliRunner().invoke(app, ["run", str(DIGITS), "--email", "me@example.com", "--json"])
    assert done.exit_code == 1
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert line["event"] == "error"
    assert "names no aggregator" in line["message"]


def test_beside_json_what_is_told_on_the_way_is_json_too(tmp_path: Path) -> None:
    recording = Path(__file__).parents[1] / "recordings" / "complete.jsonl"
    without_end = tmp_path / "feed.jsonl"
    without_end.write_text("".join(recording.read_text().splitlines(keepends=True)[:-1]))
    shutil.copytree(f"{recording}.bodies", f"{without_end}.bodies")
    done = CliRunner().invoke(app, ["replay", str(without_end), "--allow-cut-off", "--json"])
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert line["event"] == "note"
    assert "the recording has no end" in line["message"]


def test_what_an_owner_is_asked_is_json_too_where_no_person_reads_it(plain_environment: None) -> None:
    parties = ["--aggregator", "agg@example.com", "--datasite", "do@example.com"]
    done = CliRunner().invoke(app, ["run", str(DIGITS), "--email", "do@example.com", *parties, "--json"])
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in told] == ["note"] * 5 + ["error"]


FLOWERS = """
import logging
from flwr.common.logger import log
from syft_flwr.flower.logs import adapt_flowers_lines

adapt_flowers_lines()
log(logging.INFO, "trained")
"""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "INFO :      trained\n"),
        ({"NO_COLOR": "1"}, "INFO :      trained\n"),
        ({"SYFT_FLWR_LOG_FORMAT": "json"}, '"logger": "flwr", "message": "trained"}\n'),
    ],
)
def test_flowers_lines_are_plain_in_a_pipe_and_json_where_ours_are(variables: dict[str, str], said: str) -> None:
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", FLOWERS], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout + done.stderr).endswith(said)
    assert "\x1b" not in done.stdout + done.stderr
