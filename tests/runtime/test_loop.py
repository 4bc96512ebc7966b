from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from syft_flwr.errors import CredentialsError, DriveUnavailableError, RuntimeClosedError
from syft_flwr.runtime.loop import PollLoop
from syft_flwr.testing.clock import ManualClock


class Steps:
    """What the loop does, step by step."""

    def __init__(self) -> None:
        self.count = 0
        self.dispatched = 0
        self.reported: list[Exception] = []
        self.outcomes: list[Exception | float | Callable[[], None]] = []
        self._changed = threading.Condition()

    def step(self) -> float:
        with self._changed:
            outcome = self.outcomes.pop(0) if self.outcomes else 1.0
            self.count += 1
            self._changed.notify_all()
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            outcome()
            return 1.0
        return outcome

    def dispatch(self) -> None:
        with self._changed:
            self.dispatched += 1
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 10)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def loop(steps: Steps, clock: ManualClock) -> Iterator[PollLoop]:
    made = PollLoop(
        "syft-poll-test", step=steps.step, dispatch=steps.dispatch, report=steps.reported.append, clock=clock
    )
    yield made
    made.end()
    made.join(10)
    assert not any(thread.name == "syft-poll-test" for thread in threading.enumerate())


def test_it_pauses_as_long_as_a_step_says(loop, steps, clock) -> None:
    steps.outcomes = [2.0, 8.0]
    loop.start()
    clock.await_waiters(1)
    clock.advance(2.0)
    steps.wait_for(lambda: steps.count == 2)
    clock.await_waiters(1)
    clock.advance(7.9)
    clock.await_waiters(1)
    assert steps.count == 2
    clock.advance(0.2)
    steps.wait_for(lambda: steps.count == 3)


def test_a_wake_up_dispatches_and_does_not_poll_earlier(loop, steps, clock) -> None:
    loop.start()
    clock.await_waiters(1)
    loop.wake()
    steps.wait_for(lambda: steps.dispatched == 1)
    assert steps.count == 1


def test_it_runs_until_everybody_who_started_it_has_stopped_it(loop, steps, clock) -> None:
    loop.start()
    loop.start()
    loop.stop()
    assert loop.is_running
    loop.stop()
    assert not loop.is_running
    loop.join(10)
    assert steps.count <= 1


def test_it_can_be_started_again_while_the_last_step_of_before_is_still_going_on(loop, steps, clock) -> None:
    gate, entered = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        gate.wait(10)

    steps.outcomes = [slow]
    loop.start()
    assert entered.wait(10)
    loop.stop()
    loop.start()
    assert loop.is_running
    gate.set()
    clock.await_waiters(1)
    clock.advance(1.0)
    steps.wait_for(lambda: steps.count >= 2)


def test_an_outage_is_reported_and_waited_out_ever_longer(loop, steps, clock) -> None:
    steps.outcomes = [DriveUnavailableError("down") for _ in range(8)]
    loop.start()
    for failures in range(1, 9):
        steps.wait_for(lambda failures=failures: steps.count == failures)
        clock.await_waiters(1)
        clock.advance(min(2.0 ** (failures - 1), 64.0))
    steps.wait_for(lambda: steps.count == 9)
    assert len(steps.reported) == 8
    assert loop.failure is None


def test_a_defect_in_a_step_or_a_dispatch_does_not_end_it(loop, steps, clock) -> None:
    steps.outcomes = [ZeroDivisionError()]
    loop.start()
    clock.await_waiters(1)
    clock.advance(1.0)
    steps.wait_for(lambda: steps.count == 2)
    assert loop.is_running


def test_what_no_retry_can_mend_ends_it_and_tells_everybody(loop, steps, clock) -> None:
    gate = threading.Event()
    told: list[str] = []
    steps.outcomes = [lambda: gate.wait(10), CredentialsError("log in again")]
    loop.start(lambda: told.append("one"))
    loop.start(lambda: told.append("other"))
    gate.set()
    clock.await_waiters(1)
    clock.advance(1.0)
    steps.wait_for(lambda: steps.count == 2)
    loop.join(10)
    assert told == ["one", "other"]
    assert isinstance(loop.failure, CredentialsError)
    assert not loop.is_running

    loop.start()  # once the login is mended
    steps.wait_for(lambda: steps.count == 3)
    assert loop.failure is None


def test_a_closed_gateway_ends_it_without_a_failure(loop, steps) -> None:
    steps.outcomes = [RuntimeClosedError("closed")]
    loop.start()
    steps.wait_for(lambda: steps.count == 1)
    loop.join(10)
    assert loop.failure is None
    assert not loop.is_running


def test_stopping_from_its_own_thread_returns_at_once(loop, steps) -> None:
    def stop() -> None:
        loop.stop()
        loop.join(10)

    steps.outcomes = [stop]
    loop.start()
    steps.wait_for(lambda: steps.count == 1)
    loop.join(10)
    assert steps.count == 1
