"""``syft-flwr runs`` on directories that an aggregator has written."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.errors import ConfigurationError
from syft_flwr.flower.runs import RunRecord, event_log

OWNERS = ("do1@example.com", "do2@example.com")


class Directory:
    """Directories of runs; those that run do so until the end of the test."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack

    def make(self, number: int, *, error: str | None = None, running: bool = False) -> Path:
        out = self.path / f"digits-{number}"
        with ExitStack() as stack:
            log = (self._stack if running else stack).enter_context(event_log(out))
            record = RunRecord("digits", "/p", "ab" * 32, f"{number}000", 1e9 + number, OWNERS, {}, "1.41", os.getpid())
            record.write(out)
            log("owner", owner=OWNERS[0], state="present")
            log("round", round=2, of=3, start=1)
            log("sent", owner=OWNERS[0], type="train", group="2", bytes=1, error="")
            log("metrics", round=1, phase="train", values={"loss": 0.5})
            log("reply", owner=OWNERS[1], type="train", group="2", bytes=1, error="no data")
            if error is not None:
                log("dismissed", reason="the run is over")
        if error is not None:
            (out / "result.json").write_text(json.dumps({"error": error}))
        return out

    def call(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, ["runs", *arguments, "--dir", str(self.path)])

    def json(self, *arguments: str) -> Any:
        done = self.call(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with ExitStack() as stack:
        yield Directory(tmp_path / "runs", stack)


def test_runs_are_listed_with_how_they_stand_the_latest_first(directory: Directory) -> None:
    directory.make(1, error="")
    directory.make(2, error="no owner came")
    directory.make(3)
    directory.make(4, running=True)
    assert [run["state"] for run in directory.json("list")] == ["running", "interrupted", "failed", "complete"]
    lines = directory.call("list").output.splitlines()
    assert len(lines) == 4
    assert "4000  digits" in lines[0]
    assert "running, round 2 of 3" in lines[0]


def test_no_runs_are_said_to_be_none(directory: Directory) -> None:
    assert "no runs in" in directory.call("list").output
    assert directory.json("list") == []


def test_a_run_is_shown_with_its_metrics_and_what_each_owner_does(directory: Directory) -> None:
    directory.make(1, running=True)
    shown = directory.json("show")
    assert (shown["run_id"], shown["round"], shown["of"], shown["state"]) == ("1000", 2, 3, "running")
    assert shown["rounds"] == [{"round": 1, "train": {"loss": 0.5}}]
    first, second = (shown["owners"][owner] for owner in OWNERS)
    assert (first["doing"], first["errors"]) == ("train (round 2)", 0)
    assert (second["doing"], second["errors"]) == ("present", 1)
    assert second["last_seen"] <= time.time()
    text = directory.call("show", "1000").output
    assert re.search(r"do1@example.com  train \(round 2\) for \d+ s; 0 replies, 0 errors; last seen \d+ s ago", text)
    assert "0.5000" in text


def test_the_log_of_a_run_is_its_events_as_lines(directory: Directory) -> None:
    out = directory.make(1)
    lines = directory.call("log", str(out)).output.splitlines()
    assert [line[20:] for line in lines] == [
        "do1@example.com is here",
        "round 2 of 3",
        "round 1, train: loss 0.5000",
    ]
    events = [json.loads(line) for line in directory.call("log", "1", "--json").stdout.splitlines()]
    assert [event["event"] for event in events] == ["owner", "round", "sent", "metrics", "reply"]


def test_a_running_run_is_stopped_as_ctrl_c_does(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.make(1, running=True)
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    assert directory.json("stop")["run_id"] == "1000"
    assert killed == [(os.getpid(), signal.SIGINT)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["stop", "1000"], "run 1000 is not running: it is complete"),
        (["show", "7"], "no run 7 in"),
    ],
)
def test_mistakes_are_told_in_a_line(directory: Directory, arguments: list[str], word: str) -> None:
    directory.make(1, error="")
    done = directory.call(*arguments)
    assert done.exit_code == 1
    assert word in done.output


def test_two_runs_do_not_write_into_one_directory(directory: Directory) -> None:
    out = directory.make(1, running=True)
    with pytest.raises(ConfigurationError, match="another run writes into"), event_log(out):
        pass


def test_a_run_that_goes_on_writes_no_event_into_the_line_that_a_crash_cut_off(directory: Directory) -> None:
    out = directory.make(1)
    with (out / "events.jsonl").open("a") as log:
        log.write('{"event": "met')
    with event_log(out) as tell:
        tell("round", round=3, of=3, start=1)
    assert directory.json("show", "1000")["round"] == 3


def test_a_damaged_record_hides_no_other_run(directory: Directory, caplog: pytest.LogCaptureFixture) -> None:
    directory.make(1)
    (directory.make(2) / "run.json").write_text("{")
    assert [run["run_id"] for run in directory.json("list")] == ["1000"]
    assert "run.json is damaged" in caplog.text


def test_a_beginning_that_two_runs_have_is_refused(directory: Directory) -> None:
    directory.make(1)
    directory.make(12)
    done = directory.call("show", "1")
    assert done.exit_code == 1
    assert "the beginning of 2 runs' IDs" in done.output


@pytest.mark.usefixtures("plain_environment")
def test_old_runs_that_do_not_go_on_are_shown_and_removed_and_others_stay(directory: Directory) -> None:
    over, broken, running = directory.make(1, error=""), directory.make(2), directory.make(3, running=True)
    (directory.path / "mine").mkdir()

    def clean(*options: str, typed: str = "") -> str:
        return CliRunner().invoke(app, ["clean", "--runs", str(directory.path), *options], input=typed).output

    assert "nothing to remove" in clean("--older-than", "5200w")
    shown = clean(typed="n\n")
    assert f"{over}: digits, complete, round 2" in shown
    assert str(broken) in shown
    assert str(running) not in shown
    assert over.exists()
    assert "Remove 2?" in clean(typed="y\n")
    assert sorted(place.name for place in directory.path.iterdir()) == [running.name, "mine"]
