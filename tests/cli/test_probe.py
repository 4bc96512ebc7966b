from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accounts import DO, DS, calls
from syft_flwr.cli import checks_drive, probe
from syft_flwr.cli.account import account_of
from syft_flwr.cli.main import app
from syft_flwr.drive.habits import Habits
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PAUSE", 0.0)
    monkeypatch.setattr(probe, "FEED_PATIENCE", 0.0)
    monkeypatch.setattr(checks_drive, "FEED_PATIENCE", 0.0)


def ask(*options: str, typed: str = "y\n") -> Any:
    return CliRunner().invoke(app, ["doctor", "--probe", "--email", DO, *options], input=typed)


def answers(*options: str) -> dict[str, str]:
    done = ask("--json", *options)
    assert done.exit_code == 0, done.output
    return {each["question"]: each["answer"].partition(" ")[0] for each in json.loads(done.stdout)}


def test_one_account_is_asked_what_two_are_not_needed_for(drive: DriveEmulator) -> None:
    found = answers()
    assert len(found) == 6
    assert set(found.values()) == {"yes", "after"}
    assert drive.files() == []


def test_two_accounts_tell_what_passes_between_them_and_what_it_costs(drive: DriveEmulator) -> None:
    found = answers("--with", DS)
    assert len(found) == 11
    assert set(found.values()) == {"yes", "after"}
    assert drive.files() == []
    units = sum(usage["units"] for account in drive.stats().values() for usage in account.values())
    assert units <= probe.COST


def test_a_drive_that_behaves_otherwise_is_told(drive: DriveEmulator) -> None:
    with drive.behaviour(foreign_children="omitted"):
        found = answers("--with", DS)
    assert found["does the feed of an account with which its folder is shared show a new file?"] == "not"
    assert found["are the file's properties visible to it?"] == "yes"


def test_what_a_probe_learns_is_kept_for_both_accounts_and_told(drive: DriveEmulator) -> None:
    with drive.behaviour(foreign_children="omitted"):
        done = ask("--with", DS)
    for email in (DO, DS):
        assert f"kept for {email}, in processes from now on: messages are found by sweeps" in done.stdout
        habits = Habits.read(account_of(email).directory)
        assert not habits.feed_tells_of_others
        assert habits.token_tells
        told = CliRunner().invoke(app, ["status", "--email", email]).output
        assert "probe       messages are found by sweeps" in told
    again = ask("--with", DS)
    assert f"kept for {DO}, in processes from now on: Drive behaves as is believed without a probe" in again.stdout
    assert Habits.read(account_of(DO).directory).feed_tells_of_others


def test_a_runtime_goes_by_what_a_probe_has_found(drive: DriveEmulator) -> None:
    Habits(token_tells=False).keep(account_of(DO).directory)
    with DriveRuntime.open(DO) as runtime:
        for _ in range(3):
            runtime.poll_once()
    assert calls(drive, DO).count("changes.list") == 3
    assert calls(drive, DO).count("changes.getStartPageToken") == 1, "the one that begins"


def test_nothing_is_done_without_consent(drive: DriveEmulator) -> None:
    done = ask(typed="n\n")
    assert (done.exit_code, "spend up to 3,000 units?" in done.output) == (1, True)
    assert {request["method"] for request in drive.requests()} == {"about.get"}


def test_the_credentials_of_another_account_are_refused(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DO, tmp_path / "token.json")))
    done = ask("--with", DS)
    assert (done.exit_code, f"these credentials are {DO}'s, not {DS}'s" in done.output) == (1, True)
