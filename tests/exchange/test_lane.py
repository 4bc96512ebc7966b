"""A lane between its preparations, its handlers, and what ends in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from syft_flwr.exchange.handler_threads import HandlerThreads
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.work import Step, Work
from syft_flwr.models import Message


class Preparations(Executor):
    """Each is done when the test says so, and the lane hears of it when the test says so."""

    def __init__(self) -> None:
        self.begun: deque[tuple[Callable[[], float], Future[float]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del kwargs
        future: Future[Any] = Future()
        self.begun.append((lambda: fn(*args), future))
        return future

    def finish(self) -> Callable[[], None]:
        """Do the oldest; return what lets the lane know."""
        prepare, future = self.begun.popleft()
        outcome = prepare()
        return lambda: future.set_result(outcome)


class Handlers(HandlerThreads):
    """Handle what is to be handled when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: deque[Callable[[], None]] = deque()

    def submit(self, task: Callable[[], None]) -> None:
        self.tasks.append(task)

    def run(self) -> None:
        while self.tasks:
            self.tasks.popleft()()


class Desk:
    """A lane, and what was done to its requests."""

    def __init__(self) -> None:
        self.preparations, self.handlers = Preparations(), Handlers()
        self.handled: list[int] = []
        self.released: list[int] = []
        self.failing: dict[int, float] = {}
        self.resume: list[Callable[[], None]] = []
        self.lane = Lane(
            "desk",
            steps=self,
            pool=self.preparations,
            threads=self.handlers,
            later=lambda _, action: self.resume.append(action),
            capacity=10,
        )

    def prepare(self, work: Work) -> float:
        if pause := self.failing.pop(work.number, 0.0):
            return pause
        work.advance(Step.PREPARED)
        return 0.0

    def handle(self, work: Work) -> float:
        self.handled.append(work.number)
        work.advance(Step.SPOOLED)
        return 0.0

    def release(self, work: Work) -> None:
        self.released.append(work.number)

    def offer(self, *numbers: int) -> None:
        for number in numbers:
            message = Message("request", "a@example.org", "me@example.org", "app", "e", str(number), "f", "d", 1, "")
            assert self.lane.offer(Work(number, message))


def test_a_request_is_not_handled_before_the_lane_has_heard_that_it_is_prepared() -> None:
    desk = Desk()
    desk.offer(1, 2)
    desk.preparations.finish()()
    hears_of_the_second = desk.preparations.finish()
    desk.handlers.run()
    hears_of_the_second()
    desk.handlers.run()
    assert (desk.handled, desk.released) == ([1, 2], [])


def test_a_request_that_is_being_prepared_while_its_sender_waits_is_prepared_once() -> None:
    desk = Desk()
    desk.failing[1] = 5.0
    desk.offer(1, 2)
    desk.preparations.finish()()  # the first failed: its sender waits, and the second is still on its way
    [resume] = desk.resume
    resume()
    while desk.preparations.begun:
        desk.preparations.finish()()
        desk.handlers.run()
    assert (desk.handled, desk.released) == ([1, 2], [])
