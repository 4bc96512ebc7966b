"""Recorded feeds played again: the same streams, handlers and replies, each time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.testing import TestScheduler

from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed import Recording, at_endpoint, from_sender, received, with_body
from syft_flwr.models import FeedError, Message, Rejection, RejectionReason, Replied
from syft_flwr.replay import Replay, replay
from syft_flwr.resources import Change
from syft_flwr.testing.plugin import RecordedFeed
from syft_flwr.testing.regression import compare

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = ["complete", "delayed", "tombstones"]
APPS = ["flwr/diabetes", "flwr/digits"]


def thanks(body: bytes) -> bytes:
    return b"thanks for " + hashlib.sha256(body).hexdigest()[:8].encode()


def serve(feed: Replay, calls: list[bytes]) -> None:
    def handler(body: bytes) -> bytes:
        calls.append(body)
        return thanks(body)

    for app in APPS:
        events = P2PFileEvents(app, feed.account)
        events.on_request("updates", handler)
        feed.serve(events)


def play(name: str, changes: list[Change] | None = None) -> tuple[Replay, list[Message], list[bytes]]:
    calls: list[bytes] = []
    messages: list[Message] = []
    scheduler = TestScheduler()
    with replay(RECORDINGS / f"{name}.jsonl", scheduler=scheduler) as feed:
        feed.messages.subscribe(messages.append)
        if changes is not None:
            feed.changes.subscribe(changes.append)
        serve(feed, calls)
        feed.run()
        return feed, messages, calls


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_is_the_same_every_time(name: str) -> None:
    (first, messages, calls), (second, messages_again, calls_again) = play(name), play(name)
    assert messages == messages_again
    assert calls == calls_again
    assert first.replies == second.replies
    assert [(e.line, e.at, repr(e.event)) for e in first.events] == [
        (e.line, e.at, repr(e.event)) for e in second.events
    ]


@pytest.mark.parametrize("name", NAMES)
def test_handlers_answer_as_they_did_when_the_feed_was_recorded(name: str) -> None:
    feed, messages, calls = play(name)
    assert Counter(upload.name for upload in feed.uploads) == Counter(f"{m.future_id}.response" for m in messages)
    replied = {upload.name: upload.body for upload in feed.uploads}
    assert replied == {upload.name: upload.body for upload in feed.recorded_uploads}
    assert [thanks(body) for body in calls] == [reply.body for reply in feed.replies]
    assert [reply.message for reply in feed.replies] == messages


def test_the_complete_feed_brings_each_message_once_and_rejects_the_stranger() -> None:
    feed, messages, _ = play("complete")
    assert Counter((m.sender[0], m.app) for m in messages) == {
        ("a", "flwr/diabetes"): 4,
        ("a", "flwr/digits"): 1,
        ("b", "flwr/diabetes"): 2,
        ("b", "flwr/digits"): 1,
        ("c", "flwr/diabetes"): 1,
    }
    rejected = [event.event for event in feed.events if isinstance(event.event, Rejection)]
    assert [rejection.reason for rejection in rejected] == [RejectionReason.FOREIGN_FOLDER]


def test_what_sweeps_found_before_the_delayed_feed_comes_once() -> None:
    changes: list[Change] = []
    feed, messages, calls = play("delayed", changes)
    assert calls == [b"first", b"second", b"third"]
    swept = {entry.line for entry in feed.recording.entries if entry.kind == "sweep"}
    found = [event.line for event in feed.events if isinstance(event.event, Message)]
    assert len(messages) == 3
    assert set(found) & swept, "no message came by a sweep"
    assert {message.file_id for message in messages} <= {change.file_id for change in changes}


def test_pages_of_a_poll_are_followed_and_withdrawn_requests_are_not_messages() -> None:
    changes: list[Change] = []
    feed, messages, calls = play("tombstones", changes)
    polls = [entry.value for entry in feed.recording.entries if entry.kind == "poll"]
    assert max(len(pages) for pages in polls) > 1
    assert any(change.removed for change in changes)
    assert len(messages) == len(calls) == 6
    assert b"never mind" not in calls


def test_virtual_time_is_the_time_of_the_recording(recorded_feed: RecordedFeed) -> None:
    scheduler = TestScheduler()
    feed = recorded_feed(RECORDINGS / "complete.jsonl", scheduler=scheduler)
    at: list[float] = []
    feed.messages.subscribe(lambda _: at.append(scheduler.to_seconds(scheduler.now)))
    feed.run()
    recorded = [event.at for event in feed.events if isinstance(event.event, Message)]
    assert at == pytest.approx(recorded, abs=1e-3)
    assert recorded[-1] > 100


def test_operators_that_know_time_run_in_virtual_time(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(RECORDINGS / "complete.jsonl")
    counts: list[int] = []
    feed.messages.pipe(
        ops.buffer_with_time(60.0, scheduler=feed.scheduler),
        ops.map(len),
    ).subscribe(counts.append)
    feed.run()
    assert counts == [8, 1]


@pytest.mark.parametrize("order", [1, -1])
def test_the_replays_of_two_accounts_on_one_scheduler_have_one_time_axis(order: int) -> None:
    hour = 3_600.0
    owner_s = Recording.build("owner@example.com", began=1e9).request("ann@example.org", "app", "mean", b"x", at=60.0)
    ann_s = Recording.build("ann@example.org", began=1e9 + hour).request("bob@example.org", "app", "mean", b"x", at=5.0)
    scheduler = TestScheduler()
    came: dict[str, float] = {}
    with ExitStack() as stack:
        for recording in [owner_s.recording(), ann_s.recording()][::order]:
            feed = stack.enter_context(replay(recording, scheduler=scheduler))
            feed.messages.subscribe(lambda m: came.update({m.recipient: scheduler.to_seconds(scheduler.now)}))
        scheduler.start()
    assert list(came) == ["owner@example.com", "ann@example.org"]
    assert came["ann@example.org"] - came["owner@example.com"] == pytest.approx(hour - 55.0)


def test_an_interval_on_the_feed_s_scheduler_ends_with_the_feed(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(RECORDINGS / "complete.jsonl")
    ticks: list[int] = []
    late: list[Message] = []
    reactivex.interval(1.0, scheduler=feed.scheduler).subscribe(ticks.append)
    feed.messages.pipe(ops.delay(300.0, scheduler=feed.scheduler)).subscribe(late.append)
    feed.run()
    assert feed.recording.duration < len(ticks) < 1_000
    assert len(late) == 9, "what was delayed has come"


def test_a_replay_that_nobody_closes_leaves_no_directory_behind(tmp_path: Path) -> None:
    script = f"from syft_flwr.replay import replay; replay({str(RECORDINGS / 'complete.jsonl')!r}).run()"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_a_replay_plays_on_a_scheduler_of_real_time() -> None:
    with replay(RECORDINGS / "delayed.jsonl", speed=10_000) as feed:
        messages: list[Message] = []
        feed.messages.subscribe(messages.append)
        feed.run()
    assert len(messages) == 3


def test_a_replay_stops_when_it_is_closed_in_its_middle() -> None:
    got: list[Message] = []
    with replay(RECORDINGS / "delayed.jsonl", scheduler=NewThreadScheduler()) as feed:
        feed.messages.subscribe(got.append)
        feed.start()
    assert got == []


def test_bodies_are_loaded_from_the_recording(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(RECORDINGS / "delayed.jsonl")
    bodies: list[bytes] = []
    feed.messages.pipe(
        at_endpoint("flwr/diabetes", "updates"), from_sender("A@hospital.example"), with_body(feed.runtime), received
    ).subscribe(lambda r: bodies.append(r.body))
    feed.run()
    assert bodies == [b"first", b"third"]


def test_a_handler_that_raises_answers_with_an_error_of_the_recorded_time(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(RECORDINGS / "delayed.jsonl", strict=False)
    events = P2PFileEvents("flwr/diabetes", feed.account)

    def fails(body: bytes) -> bytes:
        raise ValueError(body.decode())

    events.on_request("updates", fails)
    feed.serve(events)
    errors: list[FeedError] = []
    feed.errors.subscribe(errors.append)
    feed.run()
    assert [str(each.error) for each in errors] == ["first", "second", "third"]
    assert [reply.is_error for reply in feed.replies] == [True] * 3
    assert {upload.properties["status"] for upload in feed.uploads} == {"error"}
    assert feed.uploads == play_with(fails)


def play_with(handler: object) -> list[object]:
    with replay(RECORDINGS / "delayed.jsonl") as feed:
        events = P2PFileEvents("flwr/diabetes", feed.account)
        events.on_request("updates", handler)  # type: ignore[arg-type]
        feed.serve(events)
        return list(feed.run().uploads)


def test_what_was_not_recorded_and_is_asked_for_ends_the_replay_loudly(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    lines = (RECORDINGS / "delayed.jsonl").read_text().splitlines(keepends=True)
    kept = [lines[0].replace('"bodies":true', '"bodies":false')]
    kept += [line for line in lines[1:] if '"download":' not in line]
    path.write_text("".join(kept))
    with replay(path) as feed:
        calls: list[bytes] = []
        serve(feed, calls)
        with pytest.raises(RecordingError, match=r"line \d+: the body of file .* was not recorded") as error:
            feed.run()
        assert error.value.line == feed.line
        assert calls == []
    with replay(path) as feed:  # who asks for no bodies needs none
        messages: list[Message] = []
        feed.messages.subscribe(messages.append)
        feed.run()
        assert len(messages) == 3


def asserts_in_an_observer(feed: Replay) -> None:
    def is_empty(message: Message) -> None:
        assert message.size == 0

    feed.messages.subscribe(is_empty)


def asserts_in_a_handler(feed: Replay) -> None:
    def refuses(body: bytes) -> bytes:
        raise AssertionError(body)

    events = P2PFileEvents("flwr/diabetes", feed.account)
    events.on_request("updates", refuses)
    feed.serve(events)


def fails_in_an_operator(feed: Replay) -> None:
    feed.messages.pipe(ops.map(lambda _: 1 // 0)).subscribe()


def play_in_block(use: Callable[[Replay], None], *, strict: bool, ask: bool = False) -> None:
    with replay(RECORDINGS / "delayed.jsonl", strict=strict) as feed:
        use(feed)
        feed.run()
        if ask:
            with pytest.raises(AssertionError):
                feed.raise_errors()


@pytest.mark.parametrize("use", [asserts_in_an_observer, asserts_in_a_handler])
def test_a_replay_without_the_plugin_forgets_no_assertion(use: Callable[[Replay], None]) -> None:
    with pytest.raises(AssertionError):
        play_in_block(use, strict=False)
    play_in_block(use, strict=False, ask=True)  # who has been told is not told again


def test_a_request_that_was_withdrawn_before_its_turn_came_is_not_answered() -> None:
    built = Recording.build("owner@example.com")
    for body in (b"answered", b"withdrawn"):
        built.request("ann@example.org", "flwr/diabetes", "updates", body, at=1.0)
    recording = built.delete(built.future_id(1), at=2.0).recording()
    withdrawn = next(entry for entry in reversed(recording.entries) if entry.kind == "download")
    entries = tuple(entry for entry in recording.entries if entry is not withdrawn)
    calls: list[bytes] = []
    with replay(replace(recording, entries=entries)) as feed:
        serve(feed, calls)
        feed.run()
    assert calls == [b"answered"]
    assert compare(replace(recording, entries=entries), thanks).differences == []


def test_a_strict_replay_without_the_plugin_forgets_no_error() -> None:
    with pytest.raises(ZeroDivisionError):
        play_in_block(fails_in_an_operator, strict=True)
    play_in_block(fails_in_an_operator, strict=False)


def test_replies_are_observed_as_in_a_live_feed(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(RECORDINGS / "delayed.jsonl")
    replied: list[Replied] = []
    feed.runtime.replied.subscribe(replied.append)
    serve(feed, [])
    feed.run()
    assert replied == feed.replies
