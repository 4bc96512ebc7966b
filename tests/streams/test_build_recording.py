"""Recordings that a test builds: they replay as recorded ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from syft_flwr.events import P2PFileEvents
from syft_flwr.models import RejectionReason
from syft_flwr.recording import Recording
from syft_flwr.recording.build import RecordingBuilder
from syft_flwr.replay import Replay, replay
from syft_flwr.testing.plugin import RecordedFeed
from syft_flwr.testing.strategies import feeds

OWNER, ANN, BOB, APP = "owner@example.com", "ann@example.org", "bob@example.org", "flwr/app"


def served(recording: Recording | Path, *senders: str) -> Replay:
    feed = replay(recording)
    events = P2PFileEvents(APP, OWNER, allowed_senders=senders or None)
    events.on_request("messages", lambda body: b"to " + body)
    feed.serve(events)
    return feed


def two() -> RecordingBuilder:
    return Recording.build(OWNER).request(ANN, APP, "messages", b"one").request(BOB, APP, "messages", b"two", at=9.5)


def test_requests_come_from_whom_and_when_the_test_says() -> None:
    with served(two().recording()) as feed:
        feed.run()
        feed.raise_errors()
        replies = [(reply.message.sender, reply.body) for reply in feed.replies]
        times = [event.at for event in feed.events if event.event in feed.replies]
    assert replies == [(ANN, b"to one"), (BOB, b"to two")]
    assert times == [1.0, 9.5]


def test_a_built_recording_is_written_and_read_like_a_recorded_one(tmp_path: Path) -> None:
    written = two().write(tmp_path / "feed.jsonl")
    assert written.entries == two().recording().entries
    with served(tmp_path / "feed.jsonl") as feed:
        feed.run()
        assert [reply.body for reply in feed.replies] == [b"to one", b"to two"]


def test_what_comes_at_one_time_comes_with_one_poll() -> None:
    built = Recording.build(OWNER).request(ANN, APP, "messages", b"1", at=1).request(ANN, APP, "messages", b"2", at=1)
    assert [entry.kind for entry in built.recording().entries] == ["poll", "download", "download", "end"]


def test_a_request_that_is_deleted_at_once_or_gone_when_it_is_fetched_is_not_handled() -> None:
    built = Recording.build(OWNER).request(ANN, APP, "messages", b"never mind", at=1)
    built.delete(built.future_id(0), at=1).request(ANN, APP, "messages", None).quiet(60)
    with served(built.recording()) as feed:
        feed.run()
        feed.raise_errors()
        assert not feed.replies


def test_an_account_that_asks_gets_its_answers() -> None:
    built = Recording.build(OWNER).asked(ANN, APP, "messages", b"how many?").asked(BOB, APP, "messages", b"and you?")
    built.answer(built.future_id(0), b"442").answer(built.future_id(1), b"no", is_error=True)
    with replay(built.recording()) as feed:
        answers: list[tuple[str, bool]] = []
        feed.responses.subscribe(lambda message: answers.append((message.sender, message.is_error)))
        feed.run()
        feed.raise_errors()
    assert answers == [(ANN, False), (BOB, True)]


def test_strangers_and_times_to_come_are_refused_as_ever() -> None:
    built = two().request(ANN, APP, "messages", b"late", created_at=1e6)
    with served(built.recording(), ANN) as feed:
        reasons: list[str] = []
        feed.rejected.subscribe(lambda rejection: reasons.append(rejection.reason))
        feed.run()
        assert [reply.body for reply in feed.replies] == [b"to one"]
    assert reasons == [RejectionReason.SENDER_NOT_ALLOWED, RejectionReason.BAD_TIME]


def test_what_can_t_have_happened_is_an_error_where_it_is_written() -> None:
    built = two()
    with pytest.raises(ValueError, match=r"time goes back from 9.5 s to 3 s"):
        built.request(ANN, APP, "messages", b"", at=3)
    with pytest.raises(ValueError, match="nothing was asked"):
        built.answer(built.future_id(0), b"")
    with pytest.raises(ValueError, match="has come"):
        built.delete(built.future_id(7))
    with pytest.raises(ValueError, match="no ID"):
        built.request(ANN, APP, "messages", b"", future_id="1")


def test_the_fixture_takes_a_built_recording(recorded_feed: RecordedFeed) -> None:
    feed = recorded_feed(two().recording())
    got: list[str] = []
    feed.messages.subscribe(lambda message: got.append(message.sender))
    feed.run()
    assert got == [ANN, BOB]


@given(feeds(OWNER, app=APP))
@settings(max_examples=25, deadline=None)
def test_whatever_comes_a_request_has_one_reply_at_most(recording: Recording) -> None:
    with served(recording) as feed:
        feed.run()
        feed.raise_errors()
        answered = [reply.message.future_id for reply in feed.replies]
    assert len(answered) == len(set(answered))
