"""The examples: each replayed from a recording in virtual time, and run once on the live emulator."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accounts import DO, PATIENCE, PlainAccount
from syft_flwr.feed import at_endpoint
from syft_flwr.replay import Replay
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.plugin import RecordedFeed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "streams"
A, B, C = (f"{name}@hospital.example" for name in "abc")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def feed(recorded_feed: RecordedFeed) -> Replay:
    return recorded_feed(ROOT / "tests" / "recordings" / "complete.jsonl")


def test_every_example_fits_on_a_page() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert len(files) == 5
    assert [file.name for file in files if len(file.read_text().splitlines()) >= 60] == []


# -- replayed -------------------------------------------------------------------------------------------------


def test_training_begins_with_a_quorum_or_after_a_while(feed: Replay) -> None:
    updates = feed.messages.pipe(at_endpoint("flwr/diabetes", "updates"))
    batches: list[tuple[float, str]] = []
    load("train_on_quorum").rounds(updates, 3, 30.0, feed.scheduler).subscribe(
        lambda batch: batches.append((feed.events[-1].at, "".join(message.sender[0] for message in batch)))
    )
    feed.run()
    # three owners within eight seconds; then one owner's three tries until 30 s have passed; the rest at the end
    assert [owners for _, owners in batches] == ["abc", "aaa", "b"]
    assert batches[0][0] == pytest.approx(11, abs=1)


def test_bytes_are_counted_by_sender_and_minute(feed: Replay) -> None:
    totals: list[Counter[str]] = []
    load("bytes_per_sender").bytes_per_sender(feed.messages, 60.0, feed.scheduler).subscribe(totals.append)
    feed.run()
    assert totals == [{A: 21 + 11 + 3 * 28, B: 440 + 11, C: 21}, {B: 21}]


def test_a_burst_leaves_the_newest_request_of_each_sender(feed: Replay) -> None:
    newest: list[tuple[str, int]] = []
    load("newest_request").newest(feed.messages, 2.0, feed.scheduler).subscribe(
        lambda message: newest.append((message.sender[0], message.size))
    )
    feed.run()
    assert newest == [("a", 21), ("b", 440), ("a", 11), ("c", 21), ("b", 11), ("a", 28), ("b", 21)]


def test_the_stranger_is_reported(feed: Replay) -> None:
    alerts: list[str] = []
    load("alert_on_rejections").alerts(feed.rejected, 600.0, feed.scheduler).subscribe(alerts.append)
    feed.run()
    assert len(alerts) == 1
    assert alerts[0].startswith(f"eve@example.net, in the name of {A}: foreign_folder (")


def test_two_apps_are_joined_on_the_sender(feed: Replay) -> None:
    pairs: list[str] = []
    diabetes = feed.messages.pipe(at_endpoint("flwr/diabetes", "updates"))
    digits = feed.messages.pipe(at_endpoint("flwr/digits", "updates"))
    load("join_apps").pairs(diabetes, digits, 30.0, feed.scheduler).subscribe(
        lambda pair: pairs.append(f"{pair[0].sender[0]}{pair[0].size}+{pair[1].size}")
    )
    feed.run()
    assert pairs == ["a21+11", "b440+11"]


# -- live -----------------------------------------------------------------------------------------------------


def send(drive: DriveEmulator) -> None:
    with P2PFileRpc(A, "flwr/diabetes") as a, P2PFileRpc(B, "flwr/diabetes") as b:
        a.send(DO, "flwr/diabetes", "updates", b"weights of a")
        b.send(DO, "flwr/diabetes", "updates", b"weights of b")
        a.send(DO, "flwr/digits", "updates", b"pixels of a")


def forge(drive: DriveEmulator) -> None:
    with PlainAccount(drive, "eve@example.net") as eve:
        root = eve.folder(f"syft_outbox_inbox_{A}_to_{DO}")
        eve.share(root, DO)
        folder = eve.path("flwr/diabetes", "rpc", "updates", parent=root)
        eve.put("6f9619ff-8b86-4011-b42d-00c04fc964ff.request", folder, b"not from a")


@pytest.mark.parametrize(
    ("name", "arguments", "happens", "expected"),
    [
        ("train_on_quorum", ["2", "600"], send, f"train on 2 updates of {A}, {B}"),
        ("bytes_per_sender", ["0.5"], send, f"{A}: "),
        ("newest_request", ["0.5"], send, f"newest of {A}: "),
        ("alert_on_rejections", [], forge, f"ALERT eve@example.net, in the name of {A}: foreign_folder ("),
        ("join_apps", [], send, f"{A} sent 12 B of flwr/diabetes and 11 B of flwr/digits"),
    ],
)
def test_an_example_runs_on_the_live_feed(
    drive: DriveEmulator, name: str, arguments: list[str], happens: Callable[[DriveEmulator], Any], expected: str
) -> None:
    example = subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SYFTBOX_EMAIL": DO, "SYFT_FLWR_POLL_INTERVAL": "0.1"},
    )
    with example:
        try:
            assert example.stdout is not None
            assert example.stdout.readline() == "ready\n", example.stderr and example.stderr.read()
            happens(drive)
            for line in example.stdout:
                if line.startswith(expected):
                    break
            else:
                pytest.fail(f"it ended: {example.stderr and example.stderr.read()}")
            example.send_signal(signal.SIGINT)
            assert example.wait(PATIENCE) == 0
        finally:
            example.kill()
