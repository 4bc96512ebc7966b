"""The feeds of a whole federation, recorded while it trains and replayed without it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from reactivex.testing import TestScheduler

from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.recording import read_recording
from syft_flwr.recording.cut import cut
from syft_flwr.replay import Replay, replay
from syft_flwr.resources import DriveFile
from syft_flwr.testing import compare

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
APP = "flwr/digits"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return what a simulation of two owners and an aggregator has recorded: one for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "recorded-simulation"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "feeds").is_dir():
            simulate(directory)
    return directory / "feeds"


def simulate(directory: Path) -> None:
    """Let each of them record its feed."""
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", DIGITS, "--datasites", "2", "--rounds", "2"]
    environment = os.environ | {"SYFT_FLWR_RECORD_DIR": str(directory / "recording")}
    done = subprocess.run(
        [*map(str, command), "--out", str(directory / "out")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (directory / "recording").rename(directory / "feeds")


def of(recordings: Path, account: str) -> Path:
    [path] = recordings.glob(f"{account}-*.jsonl")
    return path


def play(path: Path) -> tuple[Replay, list[Message], list[tuple[str, str]]]:
    """Replay an owner's feed; each request gets the reply that it got then."""
    messages: list[Message] = []
    calls: list[tuple[str, str]] = []
    with replay(path, scheduler=TestScheduler()) as feed:
        replies = {upload.name: upload.body for upload in feed.recorded_uploads}

        def handler(body: bytes, message: Message) -> bytes | None:
            calls.append((message.future_id, hashlib.sha256(body).hexdigest()))
            return replies.get(f"{message.future_id}.response")

        feed.messages.subscribe(messages.append)
        events = P2PFileEvents(APP, feed.account)
        events.on_request("messages", handler, with_message=True)
        feed.serve(events)
        feed.run()
        return feed, messages, calls


def handled(feed: Replay) -> list[str]:
    """Return the checksums of the requests that came while the feed was recorded, in order."""
    files: list[DriveFile] = []
    for entry in feed.recording.entries:
        if entry.kind == "poll":
            files += [change.file for page in entry.value for change in page.changes if change.file is not None]
        elif entry.kind == "sweep":
            files += entry.value
    requests = {file.id: file.sha256 for file in files if file.name.endswith(".request") and not file.owned_by_me}
    return list(requests.values())


@pytest.mark.parametrize("owner", ["do1@example.com", "do2@example.com"])
def test_an_owner_s_feed_replays_to_the_same_messages_calls_and_replies_in_under_a_second(
    recordings: Path, owner: str
) -> None:
    path = of(recordings, owner)
    began = time.process_time()
    feed, messages, calls = play(path)
    took = time.process_time() - began
    assert feed.recording.duration > took
    assert [sha256 for _, sha256 in calls] == handled(feed)
    assert [message.future_id for message in messages] == [future_id for future_id, _ in calls]
    assert {u.name: u.body for u in feed.uploads} == {u.name: u.body for u in feed.recorded_uploads}
    assert len(feed.uploads) >= 4
    again, messages_again, calls_again = play(path)
    assert (messages_again, calls_again) == (messages, calls)
    assert again.uploads == feed.uploads
    assert again.events == feed.events
    assert took < 1.0


def test_the_aggregator_s_feed_replays_to_the_owners_responses(recordings: Path) -> None:
    responses: list[Message] = []
    with replay(of(recordings, "aggregator@example.com"), scheduler=TestScheduler()) as feed:
        feed.responses.subscribe(responses.append)
        feed.run()
        asked = {u.name.removesuffix(".request") for u in feed.recorded_uploads if u.name.endswith(".request")}
    assert {message.future_id for message in responses} == asked
    assert {message.sender for message in responses} == {"do1@example.com", "do2@example.com"}


@pytest.mark.parametrize("account", ["do1@example.com", "aggregator@example.com"])
def test_each_exchange_of_a_federation_can_be_cut_out_and_replays_alone(
    recordings: Path, account: str, tmp_path: Path
) -> None:
    recording = read_recording(of(recordings, account))
    feed, messages, _ = play(recording.path)
    replies = {upload.name: upload.body for upload in feed.uploads}
    assert compare(recording).differences == []
    for message in messages:
        small = tmp_path / f"{message.future_id}.jsonl"
        cut(recording, message.future_id, small)
        alone, [only], _ = play(small)
        assert (only.future_id, only.file_id) == (message.future_id, message.file_id)
        name = f"{message.future_id}.response"
        assert [upload.body for upload in alone.uploads] == [replies[name] for _ in {name} & replies.keys()]
        named = [other.future_id for other in messages if other is not message and other.future_id in small.read_text()]
        assert not named


@pytest.mark.parametrize("account", ["do1@example.com", "aggregator@example.com"])
def test_today_s_apps_do_what_was_recorded(recordings: Path, account: str) -> None:
    with replay(of(recordings, account)) as feed:
        served = feed.serve_project(DIGITS, node_config={"partition-id": 0, "num-partitions": 2})
        feed.run()
        assert served.differences == []
        assert served.compared >= 4
        feed.raise_errors()


OWNER, AGGREGATOR = "do1@example.com", "aggregator@example.com"


@dataclass(frozen=True)
class Change:
    account: str
    module: str
    old: str
    new: str
    told: str


@pytest.mark.parametrize(
    "change",
    [
        Change(OWNER, "client_app.py", '"train_loss": loss', '"train_loss": loss + 1', "metrics['train_loss'] is"),
        pytest.param(
            Change(OWNER, "task.py", "targets[batch])", "targets[batch]) * 2", "arrays['weights'] differs by up to"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Change(OWNER, "client_app.py", '"eval_loss": loss', '"loss": loss', "metrics has ['accuracy', 'loss'"),
            marks=pytest.mark.slow,
        ),
        Change(AGGREGATOR, "server_app.py", "FedAvg()", "FedAvg(fraction_evaluate=0.0)", "was sent then"),
        Change(AGGREGATOR, "task.py", "np.zeros(CLASSES)", "np.ones(CLASSES)", "arrays['bias'] differs by up to 1"),
    ],
    ids=lambda change: f"{change.module} {change.new}",
)
def test_apps_that_were_changed_differ_and_it_is_said_where(recordings: Path, tmp_path: Path, change: Change) -> None:
    project = tmp_path / "digits"
    shutil.copytree(DIGITS, project)
    path = project / "digits" / change.module
    assert change.old in path.read_text()
    path.write_text(path.read_text().replace(change.old, change.new))
    with replay(of(recordings, change.account)) as feed:
        served = feed.serve_project(project, node_config={"partition-id": 0, "num-partitions": 2})
        feed.run()
        assert change.told in served.differences[0], served.differences
        with pytest.raises(AssertionError, match=re.escape(change.told)):
            feed.raise_errors()
