"""The page of the command line names what --json prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_code_blocks import ROOT
from typer.testing import CliRunner

from accounts import APP, DO, DS
from syft_flwr.cli.main import app
from syft_flwr.flower.runs import RunRecord
from syft_flwr.testing import DriveEmulator

PAGE = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
RECORDING = ROOT / "tests" / "recordings" / "complete.jsonl"


def documented(command: str) -> set[str]:
    """Return what the page sets in code in a command's row."""
    [row] = re.findall(rf"^\| [^|]*`{command}`[^|]* \| (.*) \|$", PAGE.partition("## JSON")[2], re.MULTILINE)
    return set(re.findall("`([a-z_]+)`", row))


def printed(*arguments: str | Path) -> list[Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_names_all_that_is_printed_of_an_account(drive: DriveEmulator) -> None:
    account = ("--email", DS)
    assert CliRunner().invoke(app, ["peers", "add", DO, "--app", APP, *account]).exit_code == 0
    [status], [quota], [doctor], [peers] = (
        printed(command, *account) for command in ("status", "quota", "doctor", "peers")
    )
    assert documented("status") - {"quota"} == set(status)
    assert documented("quota") == set(quota)
    assert set(status["spending"]) == documented("quota") - {"account"}
    assert {*doctor, *doctor["steps"][0]} <= documented("doctor")
    assert {*peers[0], *peers[0]["inboxes"][0]} == documented("peers")
    assert peers[0]["email"] == DO


def test_it_names_all_that_is_printed_of_a_recording() -> None:
    seen = {name for line in printed("replay", RECORDING) for name in line}
    kinds = {"request", "response", "replied", "rejected", "error", "change"}
    assert documented("replay") == seen | kinds | {"reply_size", "is_error", "where", "removed"}


@pytest.mark.parametrize("command", ["runs show", "runs list"])
def test_it_names_all_that_is_printed_of_a_run(tmp_path: Path, command: str) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    RunRecord("digits", "/digits", "hash", "1", 1.0, (DO,), {}, "1.42.0", 0).write(directory)
    [found] = printed(*command.split(), "--dir", tmp_path)
    run = found[0] if isinstance(found, list) else found
    assert {*run, *run["owners"][DO]} == documented(command)
