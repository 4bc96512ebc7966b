"""Whole simulations, in processes; each costs some seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ZOO = Path(__file__).parents[1] / "flower" / "apps" / "zoo"
COMMAND = [sys.executable, "-m", "syft_flwr.cli.main", "simulate"]

_PYPROJECT = """\
[project]
name = "zoo"
version = "1.0.0"
[tool.flwr.app]
publisher = "example"
[tool.flwr.app.components]
serverapp = "zoo.servers:{server}"
clientapp = "zoo.clients:{client}"
[tool.flwr.app.config]
num-server-rounds = 3
"""


def zoo(directory: Path, server: str, client: str) -> Path:
    project = directory / "project"
    shutil.copytree(ZOO, project / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "pyproject.toml").write_text(_PYPROJECT.format(server=server, client=client))
    return project


def simulate(*arguments: object, timeout: float = 100.0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


class Running:
    """A simulation under way, its events as they come."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._come = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._come:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.errors.append(line.strip())
                self._come.notify_all()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], timeout: float = 60.0) -> dict[str, Any]:
        with self._come:
            assert self._come.wait_for(lambda: any(map(wanted, self.events)), timeout), (self.events, self.errors)
            return next(filter(wanted, self.events))

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def finish(self, timeout: float = 30.0) -> tuple[int, str]:
        assert self.process.stdout is not None
        code = self.process.wait(timeout)
        out = self.process.stdout.read()
        self._reader.join(10)
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code, out


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(*arguments: object) -> Running:
        made.append(Running(*arguments))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.finish()


def until(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """Wait for what nothing announces, within a bound; return the last value."""
    end, tick = time.monotonic() + timeout, threading.Event()
    while not (value := condition()) and time.monotonic() < end:
        tick.wait(0.05)
    return value


def gone(processes: list[psutil.Process]) -> bool:
    """Wait until all have ended; zombies of a dead parent are as good as gone."""

    def alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return bool(until(lambda: not any(map(alive, processes))))


def test_the_digits_example_trains_over_drive_and_tells_metrics_and_bill(tmp_path: Path) -> None:
    done = simulate(DIGITS, "--json", "--out", tmp_path / "out", "--report", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    accuracy = [row["evaluate"]["accuracy"] for row in result["rounds"]]
    assert len(accuracy) == 3
    assert accuracy[-1] >= 0.88
    assert accuracy[-1] > accuracy[0]
    assert set(result["bill"]) == {"aggregator@example.com", *(f"do{n}@example.com" for n in (1, 2, 3))}
    for bill in result["bill"].values():
        assert bill["methods"]["files.list"]["calls"] < 20
        assert bill["units"] == sum(usage["units"] for usage in bill["methods"].values())
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == result
    assert (tmp_path / "out" / "arrays.npz").exists()
    assert f">{accuracy[-1]:.4f}<" in (tmp_path / "report.html").read_text()
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {"ready", "round", "working", "done", "metrics", "stopped", "bill"} <= {event["event"] for event in events}


@pytest.mark.slow
def test_two_runs_one_after_the_other_on_the_same_drive_both_complete(tmp_path: Path) -> None:
    project = zoo(tmp_path, "fedavg", "plain")
    for number in (1, 2):
        arguments = ("--datasites", 2, "--rounds", 1, "--data", tmp_path / "drive", "--json")
        done = simulate(project, *arguments, "--out", tmp_path / f"out{number}")
        assert done.returncode == 0, done.stderr
        traffic = json.loads(done.stdout)["traffic"]["1"]
        assert (traffic["replies"], traffic["errors"], traffic["late"]) == (4, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/nonexistent"], ["/nonexistent", "is no directory"]),
        ([str(Path(__file__).parent)], ["is no Flower project", "pyproject.toml"]),
        ([str(DIGITS), "--run-config", "learning-rte=0.1"], ["learning-rte", "learning-rate"]),
        ([str(DIGITS), "--run-config", "learning-rate=="], ["--run-config can't be read"]),
    ],
)
def test_bad_input_is_told_before_anything_starts(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = simulate(*arguments, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = simulate(DIGITS, "--port", port, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_app_that_raises_in_every_client_is_told_with_its_reason(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = simulate(zoo(tmp_path, "train_only", "raising"), "--datasites", 2, "--rounds", 1, "--out", out)
    assert done.returncode == 0
    assert "no data owner could do 'train'" in done.stdout
    assert "no data in partition 0" in done.stdout
    assert "ValueError: no data in partition 0" in (out / "logs" / "do1@example.com.log").read_text()
    failures = json.loads((out / "result.json").read_text())["failures"]
    assert "no data in partition 0" in failures["train"]["do1@example.com"]


@pytest.mark.slow
def test_a_server_app_that_ends_its_process_has_not_come_to_its_end(tmp_path: Path) -> None:
    done = simulate(zoo(tmp_path, "vanishes", "plain"), "--datasites", 2, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "the aggregator died in round 1 (exit code 0)" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("server", ["leaves_thread", "leaves_hook"])
def test_what_a_server_app_leaves_open_keeps_nobody_waiting(tmp_path: Path, server: str) -> None:
    done = simulate(zoo(tmp_path, server, "plain"), "--datasites", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "ended by force" not in done.stderr


@pytest.mark.slow
def test_what_the_server_app_prints_is_shown_and_no_empty_table(tmp_path: Path) -> None:
    done = simulate(zoo(tmp_path, "asking", "asked"), "--datasites", 2, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "TOTAL 40" in done.stdout
    assert "TOTAL 40" in (tmp_path / "out" / "logs" / "aggregator@example.com.log").read_text()
    assert "Metrics per round" not in done.stdout


@pytest.mark.slow
def test_an_owner_that_dies_in_mid_round_ends_the_simulation_with_a_word(
    tmp_path: Path, running: Callable[..., Running]
) -> None:
    simulation = running(zoo(tmp_path, "train_only", "hanging"), "--datasites", 2, "--out", tmp_path / "out")
    simulation.wait_for(lambda event: event["event"] == "working" and event["member"] == "do2@example.com")
    processes = simulation.descendants()
    victim = next(
        p for p in processes if p.environ().get("SYFTBOX_EMAIL") == "do2@example.com" and "run" in p.cmdline()
    )
    victim.kill()
    code, _ = simulation.finish()
    assert code == 1
    (error,) = [event["message"] for event in simulation.events if event["event"] == "error"]
    assert not simulation.errors  # all of standard error can be read as JSON
    assert "do2@example.com died in round 1 (killed by SIGKILL)" in error
    assert "do2@example.com.log" in error
    assert gone(processes)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_no_process_outlives_the_simulation(
    tmp_path: Path, running: Callable[..., Running], how: signal.Signals
) -> None:
    simulation = running(zoo(tmp_path, "train_only", "hanging"), "--datasites", 2, "--out", tmp_path / "out")
    simulation.wait_for(lambda event: event["event"] == "working")
    # Drive, aggregator, two owners, their fork servers with trackers, and the apps at work or about to be.
    processes = until(lambda: found if len(found := simulation.descendants()) >= 10 else None)
    os.kill(simulation.process.pid, how)
    code, _ = simulation.finish()
    assert code == (-9 if how is signal.SIGKILL else 130)
    assert gone(processes), [p for p in processes if p.is_running()]
