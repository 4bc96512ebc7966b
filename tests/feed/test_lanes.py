from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from syft_flwr.feed.lanes import Lane


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Work:
    """Handles items, notes them, and holds up those that it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.prepared: list[str] = []
        self.begun: list[str] = []
        self._changed = threading.Condition()
        self._gates: dict[str, threading.Event] = {}

    def hold(self, item: str) -> threading.Event:
        self._gates[item] = threading.Event()
        return self._gates[item]

    def prepare(self, item: str) -> str | None:
        if gate := self._gates.get(f"prepare {item}"):
            gate.wait(10)
        with self._changed:
            self.prepared.append(item)
            self._changed.notify_all()
        if item.endswith("none"):
            return None
        if item.endswith("bad"):
            raise ValueError(item)
        return item.upper()

    def handle(self, item: str, ready: str) -> None:
        assert ready == item.upper()
        with self._changed:
            self.begun.append(item)
            self._changed.notify_all()
        if gate := self._gates.get(item):
            gate.wait(10)
        with self._changed:
            self.done.append(item)
            self._changed.notify_all()
        if item.endswith("raises"):
            raise ValueError(item)

    def wait_until_done(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.done) >= count, 10)
            return list(self.done)

    def wait_until_begun(self, item: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: item in self.begun, 10)

    def wait_until_prepared(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.prepared) >= count, 10)
            return list(self.prepared)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def make(pool: ThreadPoolExecutor, work: Work) -> Iterator:
    lanes: list[Lane[str, str]] = []

    def make_one(**options) -> Lane[str, str]:
        settings = {"key": lambda item: item[0], "capacity": 100, **options}
        lanes.append(Lane("test", prepare=work.prepare, handle=work.handle, pool=pool, **settings))
        return lanes[-1]

    yield make_one
    for lane in lanes:
        lane.stop(5)


def test_items_of_one_key_are_handled_in_the_order_of_their_offers(make, work) -> None:
    lane = make(concurrency=3)
    items = [f"{key}{number}" for number in range(10) for key in "abc"]
    assert all(lane.offer(item) for item in items)
    done = work.wait_until_done(30)
    for key in "abc":
        assert [item for item in done if item[0] == key] == [item for item in items if item[0] == key]


def test_keys_take_turns(work) -> None:
    gate = work.hold("a0")
    with ThreadPoolExecutor(1) as pool:
        lane = Lane("test", key=lambda item: item[0], prepare=work.prepare, handle=work.handle, pool=pool, capacity=9)
        for item in ("a0", "a1", "a2", "b0"):
            lane.offer(item)
        work.wait_until_prepared(4)
        pool.submit(str).result()  # so the four before it are over, too
        gate.set()
        assert work.wait_until_done(4).index("b0") < 3
        lane.stop(5)


def test_a_key_whose_preparation_is_slow_holds_up_nobody_else(make, work) -> None:
    gate = work.hold("prepare a0")
    lane = make()
    lane.offer("a0")
    lane.offer("b0")
    assert work.wait_until_done(1) == ["b0"]
    gate.set()
    assert work.wait_until_done(2) == ["b0", "a0"]


def test_preparation_runs_ahead_while_a_handler_is_busy(make, work) -> None:
    gate = work.hold("a0")
    lane = make(lookahead=3)
    for number in range(9):
        lane.offer(f"a{number}")
    work.wait_until_prepared(4)
    assert len(work.prepared) <= 5  # the one being handled, one for each handler, and three more
    gate.set()
    work.wait_until_done(9)


def test_a_full_lane_refuses_and_says_when_there_is_room(make, work) -> None:
    drained = threading.Event()
    gate = work.hold("a0")
    lane = make(capacity=2, on_drained=drained.set)
    lane.offer("a0")
    work.wait_until_prepared(1)
    accepted = [lane.offer(f"a{number}") for number in range(1, 5)]
    assert accepted.count(True) in (1, 2)  # whether the first has left the queue already
    assert not lane.offer("a9")
    gate.set()
    assert drained.wait(10)
    assert lane.offer("a9")


def test_what_raises_or_prepares_nothing_leaves_the_lane_and_the_rest_goes_on(make, work, caplog) -> None:
    lane = make()
    for item in ("a1", "a2 none", "a3 bad", "a4 raises", "a5"):
        lane.offer(item)
    assert work.wait_until_done(3) == ["a1", "a4 raises", "a5"]
    assert len(caplog.records) == 2


def test_stopping_returns_what_was_prepared_and_starts_nothing_more(make, work) -> None:
    gate = work.hold("a0")
    lane = make(lookahead=2)
    for number in range(5):
        lane.offer(f"a{number}")
    work.wait_until_begun("a0")
    work.wait_until_prepared(3)
    prepared = lane.stop(0.0)
    gate.set()
    assert prepared == [("a1", "A1"), ("a2", "A2"), ("a3", "A3")][: len(prepared)]
    assert not lane.offer("a9")
    assert lane.stop(5) == []
    assert work.done == ["a0"]


def test_what_is_still_being_prepared_at_the_stop_is_given_back_later(make, work) -> None:
    late: list[tuple[str, str]] = []
    came = threading.Event()
    gate = work.hold("prepare a0")

    def on_late(item: str, ready: str) -> None:
        late.append((item, ready))
        came.set()

    lane = make(on_late=on_late)
    lane.offer("a0")
    assert lane.stop(0.1) == []
    gate.set()
    assert came.wait(10)
    assert late == [("a0", "A0")]
    assert work.done == []


def test_a_handler_may_stop_its_own_lane(pool) -> None:
    ended = threading.Event()

    def handle(item: str, _: str) -> None:
        lane.stop(1.0)
        ended.set()

    lane = Lane("test", key=str, prepare=str, handle=handle, pool=pool, capacity=1)
    lane.offer("a")
    assert ended.wait(10)
    lane.stop(5)


def test_no_thread_is_left_after_the_stop(make, work) -> None:
    before = threading.active_count()
    lane = make(concurrency=4)
    lane.offer("a0")
    work.wait_until_done(1)
    lane.stop(5)
    assert not any(thread.name.startswith("syft-lane-test") for thread in threading.enumerate())
    assert threading.active_count() <= before + 4  # the pool's own
