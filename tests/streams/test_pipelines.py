"""Pipelines of users' own: operators, and what harms nobody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.scheduler import ThreadPoolScheduler
from reactivex.subject import Subject

from accounts import APP, DO, DS, PATIENCE, Observed, owner, serving, wait_until
from syft_flwr.errors import InvalidNameError, NotFoundError, TransferError
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed import (
    at_endpoint,
    failed,
    from_sender,
    in_inbox,
    received,
    reply_with,
    requests,
    responses,
    with_body,
)
from syft_flwr.feed.shared_bodies import SharedBodies
from syft_flwr.models import FeedError, Message, Received, Replied
from syft_flwr.replay import Replay
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.plugin import RecordedFeed

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture
def feed(recorded_feed: RecordedFeed) -> Replay:
    return recorded_feed(RECORDINGS / "complete.jsonl")


@pytest.fixture
def lenient_feed(recorded_feed: RecordedFeed) -> Replay:
    """The same, for tests in which observers and handlers raise."""
    return recorded_feed(RECORDINGS / "complete.jsonl", strict=False)


def message(number: int = 0, *, size: int = 1, sender: str = "a@x.org", kind: str = "request") -> Message:
    ids = (f"future-{number}", f"file-{number}", "folder")
    return Message(kind, sender, "me@x.org", "app", "end", *ids, size=size, created_time="")  # type: ignore[arg-type]


# -- narrowing ------------------------------------------------------------------------------------------------


def test_operators_narrow_a_stream(feed: Replay) -> None:
    counts: dict[str, int] = {}

    def count(name: str, stream: rx.Observable[Message]) -> None:
        counts[name] = 0

        def add(_: Message) -> None:
            counts[name] += 1

        stream.subscribe(add)

    count("all", feed.messages)
    count("digits", feed.messages.pipe(at_endpoint("flwr/digits", "/updates")))
    count("digits, later", feed.messages.pipe(requests, at_endpoint("flwr/digits", "updates")))
    count("a", feed.messages.pipe(from_sender("A@Hospital.example")))
    count("a's inbox", feed.messages.pipe(in_inbox(feed.account.upper(), sender="a@hospital.example")))
    count("another's inbox", feed.messages.pipe(in_inbox("x@y.org")))
    count("requests", feed.messages.pipe(requests))
    count("responses", feed.messages.pipe(responses))
    feed.run()
    assert counts == {
        "all": 9,
        "digits": 2,
        "digits, later": 2,
        "a": 5,
        "a's inbox": 5,
        "another's inbox": 0,
        "requests": 9,
        "responses": 0,
    }


@pytest.mark.parametrize(
    "make",
    [lambda: in_inbox("nobody"), lambda: from_sender(""), lambda: at_endpoint("", "x"), lambda: at_endpoint("x", "/")],
)
def test_names_that_can_t_be_are_refused_when_the_pipeline_is_written(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidNameError):
        make()


# -- harm -----------------------------------------------------------------------------------------------------


def test_exceptions_in_observers_mappers_and_handlers_harm_nobody_else(lenient_feed: Replay) -> None:
    got: list[Message] = []
    errors: list[FeedError] = []
    ended: list[Exception] = []

    def fails(_: object) -> None:
        raise ValueError("observer")

    def mapper(_: Message) -> None:
        raise ValueError("mapper")

    def handler(_: bytes) -> bytes:
        raise ValueError("handler")

    lenient_feed.messages.subscribe(fails)
    lenient_feed.messages.pipe(ops.map(mapper)).subscribe(on_error=ended.append)
    lenient_feed.messages.pipe(ops.map(mapper)).subscribe(lambda _: None)
    lenient_feed.changes.subscribe(fails)
    lenient_feed.errors.subscribe(fails)
    lenient_feed.errors.subscribe(errors.append)
    events = P2PFileEvents("flwr/diabetes", lenient_feed.account)
    events.on_request("updates", handler)
    lenient_feed.serve(events)
    lenient_feed.messages.subscribe(got.append)
    lenient_feed.run()
    assert len(got) == 9
    assert len(ended) == 1, "a chain ends with its mapper's first error"
    where = [(each.where, str(each.error)) for each in errors]
    assert where.count(("observer of messages", "observer")) == 9
    assert where.count(("observer of messages", "mapper")) == 1
    assert where.count(("handler", "handler")) == 7
    assert where.count(("observer of changes", "observer")) > 9
    assert sum(reply.is_error for reply in lenient_feed.replies) == 7


def test_subscriptions_come_and_go_in_mid_stream(feed: Replay) -> None:
    late: list[Message] = []
    early: list[Message] = []

    def meddle(m: Message) -> None:
        early.append(m)
        if len(early) == 3:
            feed.messages.subscribe(late.append)
            subscription.dispose()

    subscription = feed.messages.subscribe(meddle)
    feed.run()
    assert len(early) == 3
    assert len(late) == 6


def test_an_observer_may_use_the_runtime_in_its_turn(feed: Replay) -> None:
    seen: list[str] = []

    def consume(m: Message) -> None:
        feed.runtime.consume(m)
        feed.runtime.poll_once()
        seen.append(m.file_id)

    feed.messages.subscribe(consume)
    feed.run()
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize("served", [["flwr/diabetes"], ["flwr/diabetes", "flwr/digits"]])
def test_consuming_takes_what_no_handler_has_and_is_refused_aloud_otherwise(
    lenient_feed: Replay, served: list[str]
) -> None:
    observed: list[Message] = []
    refused: list[FeedError] = []
    lenient_feed.messages.subscribe(observed.append)
    lenient_feed.errors.subscribe(refused.append)
    lenient_feed.messages.pipe(at_endpoint("flwr/digits", "updates")).subscribe(lenient_feed.runtime.consume)
    for app in served:
        events = P2PFileEvents(app, lenient_feed.account)
        events.on_request("updates", bytes.upper)
        lenient_feed.serve(events)
    lenient_feed.run()
    assert len(observed) == 9
    consumed = [message for message in observed if message.app == "flwr/digits"]
    assert len(lenient_feed.replies) == (7 if len(served) == 1 else 9)
    assert [error.message for error in refused] == ([] if len(served) == 1 else consumed)


def test_a_slow_subscriber_behind_a_scheduler_holds_up_nobody(drive: DriveEmulator) -> None:
    release = threading.Event()
    slow: list[Message] = []

    def wait(m: Message) -> None:
        release.wait(PATIENCE)
        slow.append(m)

    scheduler = ThreadPoolScheduler(1)
    with Observed(DO) as live, serving(owner(bytes.upper)):
        live.runtime.messages.pipe(ops.observe_on(scheduler)).subscribe(wait)
        with P2PFileRpc(DS, APP) as rpc:
            futures = rpc.send_many([(DO, APP, "messages", b"x")] * 5)
            assert len(rpc.wait(futures, PATIENCE)) == 5
        assert slow == []
        release.set()
        wait_until(lambda: len(slow) == 5)
    scheduler.executor.shutdown()


def test_the_stream_waits_for_a_subscriber_that_blocks_it_and_no_message_is_lost(drive: DriveEmulator) -> None:
    release, blocked = threading.Event(), threading.Event()
    seen: list[str] = []

    def block(m: Message) -> None:
        blocked.set()
        release.wait(PATIENCE)
        seen.append(m.future_id)

    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        live.runtime.messages.subscribe(block)
        live.runtime.start()
        futures = rpc.send_many([(DO, APP, "messages", b"x")] * 5)
        assert blocked.wait(PATIENCE)
        release.set()
        wait_until(lambda: sorted(seen) == sorted(futures))
        live.runtime.stop()


# -- bodies ---------------------------------------------------------------------------------------------------


class Bodies:
    """Bodies that come when the test says so."""

    _is_synchronous = False

    def __init__(self) -> None:
        self._bodies = SharedBodies(self._fetch_body)
        self.asked: dict[str, Future[bytes]] = {}
        self.count = 0
        self.reported: list[str] = []
        self.asked_more = threading.Condition()

    def _fetch_body(self, message: Message) -> Future[bytes]:
        with self.asked_more:
            self.count += 1
            self.asked[message.file_id] = Future()
            self.asked_more.notify_all()
            return self.asked[message.file_id]

    def wait_for(self, *file_ids: str) -> None:
        """Wait until exactly these were asked for."""
        with self.asked_more:
            assert self.asked_more.wait_for(lambda: len(self.asked) >= len(file_ids), PATIENCE)
            assert list(self.asked) == list(file_ids)

    def _report(self, where: str, error: BaseException, message: Message | None = None) -> None:
        self.reported.append(f"{where}: {error}")


def test_bodies_come_in_the_order_of_the_messages_and_some_at_once() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[bytes] = []
    source.pipe(with_body(bodies, parallel=2), received).subscribe(lambda r: got.append(r.body))
    for number in range(4):
        source.on_next(message(number))
    bodies.wait_for("file-0", "file-1")
    bodies.asked["file-1"].set_result(b"1")
    bodies.wait_for("file-0", "file-1", "file-2")
    assert got == []
    bodies.asked["file-0"].set_result(b"0")
    wait_until(lambda: got == [b"0", b"1"])
    bodies.asked["file-2"].set_result(b"2")
    bodies.wait_for("file-0", "file-1", "file-2", "file-3")
    bodies.asked["file-3"].set_result(b"3")
    wait_until(lambda: got == [b"0", b"1", b"2", b"3"])


def test_the_bodies_in_memory_are_bounded_in_bytes_whatever_their_number() -> None:
    source, bodies = Subject[Message](), Bodies()
    first_came, release = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        first_came.set()
        release.wait(PATIENCE)

    subscription = source.pipe(with_body(bodies, parallel=10)).subscribe(slow)
    for number in range(10):
        source.on_next(message(number, size=10_000_000))
    bodies.wait_for("file-0", "file-1", "file-2")
    for future in list(bodies.asked.values()):
        future.set_result(b"")
    assert first_came.wait(PATIENCE)
    assert len(bodies.asked) == 3, "finished bodies count until the observer is done with them"
    release.set()
    bodies.wait_for("file-0", "file-1", "file-2", "file-3", "file-4", "file-5")
    subscription.dispose()


def test_a_body_that_two_pipelines_want_is_downloaded_once_while_it_is_kept() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[bytes] = []
    came, release = threading.Event(), threading.Event()

    def slow(element: Received) -> None:
        came.set()
        assert release.wait(PATIENCE)
        got.append(element.body)

    subscriptions = [source.pipe(with_body(bodies, parallel=1), received).subscribe(slow)]
    subscriptions.append(source.pipe(with_body(bodies), received).subscribe(lambda element: got.append(element.body)))
    for number in range(3):
        source.on_next(message(number))
    bodies.wait_for("file-0", "file-1", "file-2")
    for file_id, future in bodies.asked.items():
        future.set_result(file_id.encode())
    assert came.wait(PATIENCE)
    wait_until(lambda: len(got) == 3)  # the fast one is done with all
    release.set()
    wait_until(lambda: len(got) == 6)
    bodies.wait_for("file-0", "file-1", "file-2")
    assert bodies.count == 3
    wait_until(lambda: not bodies._bodies._kept and not bodies._bodies._wanted)
    for subscription in subscriptions:
        subscription.dispose()


def test_a_body_that_one_of_two_pipelines_gives_up_still_comes_to_the_other() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[bytes] = []
    leaving = source.pipe(with_body(bodies)).subscribe(lambda _: None)
    staying = source.pipe(with_body(bodies), received).subscribe(lambda element: got.append(element.body))
    source.on_next(message(0))
    bodies.wait_for("file-0")
    leaving.dispose()
    bodies.asked["file-0"].set_result(b"0")
    wait_until(lambda: got == [b"0"])
    staying.dispose()


def test_bodies_that_wait_for_a_slow_pipeline_are_kept_up_to_so_many_bytes() -> None:
    bodies = Bodies()
    messages = [message(number, size=20 * 1024 * 1024) for number in range(2)]
    for each in messages * 2:
        bodies._bodies.want(each)
    for each in messages:
        bodies._bodies.get(each)
    assert list(bodies._bodies._kept) == ["file-1"]
    for each in messages:
        bodies._bodies.get(each)
    assert bodies.count == 4  # the older one anew, which left no room for the newer one


@pytest.mark.usefixtures("drive")
def test_a_large_body_that_two_pipelines_want_costs_one_call(drive: DriveEmulator) -> None:
    got: list[int] = []
    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        for _ in range(2):
            live.runtime.messages.pipe(with_body(live.runtime), received).subscribe(lambda r: got.append(len(r.body)))
        rpc.send(DO, APP, "messages", bytes(200_000))
        with drive.fault("latency", method="files.get_media", seconds=0.2):
            live.runtime.poll_once()
            wait_until(lambda: got == [200_000] * 2)
    assert drive.stats()[DO]["files.get_media"]["calls"] == 1


@pytest.mark.parametrize("latency", [0.0, 0.2])
@pytest.mark.usefixtures("drive")
def test_bodies_that_handlers_and_pipelines_want_cost_one_call_each(drive: DriveEmulator, latency: float) -> None:
    bodies = [os.urandom(50_000) for _ in range(12)]
    got: list[bytes] = []
    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        events = owner(lambda body: body[:10])
        events.attach(live.runtime)
        live.runtime.messages.pipe(with_body(live.runtime), received).subscribe(lambda each: got.append(each.body))
        live.runtime.messages.pipe(
            at_endpoint(APP, "questions"), reply_with(live.runtime, lambda body, _: body[:10], allowed_senders=[DS])
        ).subscribe()
        endpoints = ("messages", "questions")
        futures = rpc.send_many([(DO, APP, endpoints[n % 2], body) for n, body in enumerate(bodies)])
        with drive.fault("latency", method="files.get_media", seconds=latency):
            live.runtime.start()
            wait_until(lambda: len(got) == len(bodies))
        assert list(rpc.wait(futures, PATIENCE).values()) == [body[:10] for body in bodies]
        wait_until(lambda: not live.runtime._bodies._wanted and not live.runtime._bodies._kept)
    assert sorted(got) == sorted(bodies)
    assert drive.stats()[DO]["files.get_media"]["calls"] == len(bodies)


def test_a_body_that_a_handler_wants_too_is_kept_for_the_pipeline_that_comes_to_it_later() -> None:
    bodies = Bodies()
    shared, downloads = bodies._bodies, list[str]()

    def download() -> bytes:
        downloads.append("handler's")
        return b"0"

    assert shared.load(message(0), download) == b"0"
    assert not shared._kept, "no pipeline wants it"
    shared.want(message(0))
    shared.get(message(0))  # and waits for a free connection
    assert shared.load(message(0), download) == b"0"
    assert shared.load(message(0), download) == b"0", "as the pipeline's turn comes"
    assert shared.get(message(0)).result(0) == b"0"
    assert len(downloads) == 2
    shared.leave(message(0))
    assert not shared._kept


def test_a_body_that_fails_for_one_fails_for_those_who_wait_for_it_and_is_tried_anew_by_the_next() -> None:
    shared = Bodies()._bodies
    begun, release = threading.Event(), threading.Event()

    def fails() -> bytes:
        begun.set()
        release.wait(PATIENCE)
        raise NotFoundError("gone")

    with ThreadPoolExecutor() as pool:
        first = pool.submit(shared.load, message(0), fails)
        assert begun.wait(PATIENCE)
        second = pool.submit(shared.load, message(0), lambda: b"0")
        release.set()
        assert isinstance(first.exception(PATIENCE), NotFoundError)
        assert second.exception(PATIENCE) is None or isinstance(second.exception(), NotFoundError)
    assert shared.load(message(0), lambda: b"0") == b"0"


@pytest.mark.usefixtures("drive")
def test_a_body_that_is_too_large_for_the_pipelines_is_not_in_memory_for_them(drive: DriveEmulator) -> None:
    got: list[FeedError] = []
    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        events = owner(lambda body: body[:10])
        events.attach(live.runtime)
        live.runtime.messages.pipe(with_body(live.runtime, max_size=100), failed).subscribe(got.append)
        future = rpc.send(DO, APP, "messages", os.urandom(50_000))
        live.runtime.start()
        assert rpc.wait([future], PATIENCE)
        wait_until(lambda: got)
        assert not live.runtime._bodies._wanted
    assert drive.stats()[DO]["files.get_media"]["calls"] == 1


@pytest.mark.usefixtures("drive")
def test_bodies_of_a_runtime_that_is_closed_are_none() -> None:
    with Observed(DO) as live:
        pass
    ended = threading.Event()
    live.runtime.messages.pipe(with_body(live.runtime)).subscribe(on_completed=ended.set)
    assert ended.is_set()


def test_a_body_that_can_t_be_had_is_an_error_in_its_place() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[Received | FeedError] = []
    errors: list[FeedError] = []
    loaded = source.pipe(with_body(bodies, max_size=10), ops.share())
    loaded.subscribe(got.append)
    loaded.pipe(failed).subscribe(errors.append)
    for number, size in ((0, 10), (1, 11), (2, 1)):
        source.on_next(message(number, size=size))
    bodies.wait_for("file-0", "file-2")
    bodies.asked["file-0"].set_exception(NotFoundError("gone"))
    bodies.asked["file-2"].set_result(b"2")
    wait_until(lambda: len(got) == 3)
    assert [type(element) for element in got] == [FeedError, FeedError, Received]
    assert [type(each.error) for each in errors] == [NotFoundError, TransferError]
    assert [each.message for each in errors] == [message(0, size=10), message(1, size=11)]
    assert "file-1" not in bodies.asked


def test_the_end_comes_after_the_last_body() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[str] = []
    source.pipe(with_body(bodies)).subscribe(lambda _: got.append("body"), on_completed=lambda: got.append("end"))
    source.on_next(message())
    source.on_completed()
    bodies.wait_for("file-0")
    assert got == []
    bodies.asked["file-0"].set_result(b"")
    wait_until(lambda: got == ["body", "end"])


def test_an_observer_of_bodies_that_raises_is_reported_and_goes_on() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[object] = []

    def fails(element: object) -> None:
        got.append(element)
        raise ValueError("mine")

    source.pipe(with_body(bodies)).subscribe(fails)
    for number in range(2):
        source.on_next(message(number))
        bodies.wait_for(*[f"file-{each}" for each in range(number + 1)])
        bodies.asked[f"file-{number}"].set_result(b"")
    wait_until(lambda: len(got) == 2)
    assert bodies.reported == ["observer of bodies: mine"] * 2


def test_an_observer_of_bodies_that_raises_at_the_end_is_reported() -> None:
    source, bodies = Subject[Message](), Bodies()

    def fails() -> None:
        raise ValueError("mine")

    source.pipe(with_body(bodies)).subscribe(on_completed=fails)
    source.on_next(message(0))
    bodies.wait_for("file-0")
    source.on_completed()
    bodies.asked["file-0"].set_result(b"")
    wait_until(lambda: bodies.reported == ["observer of bodies: mine"])


def test_who_disposes_gets_no_more_bodies() -> None:
    source, bodies = Subject[Message](), Bodies()
    got: list[object] = []
    subscription = source.pipe(with_body(bodies, parallel=1)).subscribe(got.append)
    source.on_next(message(0))
    source.on_next(message(1))
    bodies.wait_for("file-0")
    subscription.dispose()
    assert bodies.asked["file-0"].cancelled()
    source.on_next(message(2))
    assert list(bodies.asked) == ["file-0"]
    assert got == []


def test_the_stream_waits_when_a_thousand_bodies_do() -> None:
    source, bodies = Subject[Message](), Bodies()
    subscription = source.pipe(with_body(bodies, parallel=1)).subscribe(lambda _: None)
    source.on_next(message(0))
    bodies.wait_for("file-0")
    for number in range(1, 1001):
        source.on_next(message(number))
    passed = threading.Event()

    def one_more() -> None:
        source.on_next(message(1001))
        passed.set()

    thread = threading.Thread(target=one_more)
    thread.start()
    assert not passed.is_set()
    bodies.asked["file-0"].set_result(b"")
    assert passed.wait(PATIENCE)
    thread.join()
    subscription.dispose()


# -- replies --------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(feed: Replay) -> list[Replied]:
    got: list[Replied] = []
    feed.messages.pipe(
        at_endpoint("flwr/diabetes", "updates"),
        from_sender("a@hospital.example"),
        reply_with(
            feed.runtime, lambda body, m: f"{m.sender} sent {len(body)} bytes", allowed_senders=["a@hospital.example"]
        ),
    ).subscribe(got.append, on_completed=lambda: got.append(Replied(message(), b"end")))
    return got


def test_a_pipeline_answers_its_requests(feed: Replay, answers: list[Replied]) -> None:
    feed.run()
    assert [reply.body for reply in answers] == [
        b"a@hospital.example sent 21 bytes",
        *[b"a@hospital.example sent 28 bytes"] * 3,
        b"end",
    ]
    assert feed.replies == answers[:-1]
    assert len(feed.uploads) == 4


def test_what_a_pipeline_answers_no_handler_gets(feed: Replay, answers: list[Replied]) -> None:
    events = P2PFileEvents("flwr/diabetes", feed.account)
    events.on_request("updates", bytes.upper)
    feed.serve(events)
    feed.run()
    assert len(answers) == 5
    assert sorted(reply.message.sender[0] for reply in feed.replies) == ["a", "a", "a", "a", "b", "b", "c"]


def test_a_pipeline_whose_function_raises_answers_with_an_error(drive: DriveEmulator) -> None:
    def fails(body: bytes, m: Message) -> bytes:
        raise ValueError("not today")

    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        got: list[Replied] = []
        live.runtime.messages.pipe(requests, reply_with(live.runtime, fails, allowed_senders=[DS])).subscribe(
            got.append
        )
        live.runtime.start()
        future = rpc.send(DO, APP, "messages", b"x")
        answer = rpc.wait([future], PATIENCE, raise_errors=False)[future]
        live.runtime.stop()
    assert b"not today" in answer
    assert [reply.is_error for reply in got] == [True]


def test_what_is_raised_at_the_end_of_an_answering_pipeline_is_reported(lenient_feed: Replay) -> None:
    errors: list[FeedError] = []

    def fails() -> None:
        raise ValueError("mine")

    lenient_feed.errors.subscribe(errors.append)
    lenient_feed.messages.pipe(requests, ops.take(1), reply_with(lenient_feed.runtime, lambda body, _: body)).subscribe(
        on_completed=fails
    )
    lenient_feed.run()
    assert len(lenient_feed.replies) == 1
    assert [(each.where, str(each.error)) for each in errors] == [("observer of replies", "mine")]


def test_two_answering_pipelines_at_one_endpoint_answer_each_request_once(lenient_feed: Replay) -> None:
    answers: tuple[list[Replied], list[Replied]] = ([], [])
    for each in answers:
        lenient_feed.messages.pipe(
            requests, reply_with(lenient_feed.runtime, lambda body, _: body, allowed_senders=lambda _: True)
        ).subscribe(each.append)
    lenient_feed.run()
    assert len(lenient_feed.replies) == len({reply.message.future_id for reply in lenient_feed.replies}) == 9
    assert [len(each) for each in answers] == [9, 0]


def test_a_live_pipeline_answers_more_than_its_lane_holds(drive: DriveEmulator) -> None:
    with Observed(DO, lane_capacity=2) as live, P2PFileRpc(DS, APP) as rpc:
        got: list[Replied] = []
        live.runtime.messages.pipe(reply_with(live.runtime, lambda body, _: body, allowed_senders=[DS])).subscribe(
            got.append
        )
        live.runtime.start()
        bodies = [b"%d" % number for number in range(9)]
        futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
        replies = rpc.wait(futures, PATIENCE)
        assert [replies[future] for future in futures] == bodies
        wait_until(lambda: len(got) == 9)
        live.runtime.stop()
