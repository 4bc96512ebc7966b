from __future__ import annotations

from syft_flwr.errors import PermissionDeniedError, RateLimitedError
from syft_flwr.exchange.backoff import Backoff
from syft_flwr.testing.clock import ManualClock


def held_for(backoff: Backoff, clock: ManualClock, key: str) -> float:
    """Let time pass until the key is due; return how many seconds that took."""
    seconds = 0
    while not backoff.is_due(key):
        clock.advance(1)
        seconds += 1
    return seconds


def test_each_failure_doubles_the_pause_up_to_five_minutes() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    pauses = []
    for _ in range(11):
        backoff.failed("a", PermissionDeniedError("no"))
        pauses.append(held_for(backoff, clock, "a"))

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_drive_may_ask_for_more() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    backoff.failed("a", RateLimitedError("too many shares", retry_after=3600.0))

    assert held_for(backoff, clock, "a") == 3600


def test_keys_are_independent_and_forgotten_when_they_are_over() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    backoff.failed("a", OSError("disk full"))

    assert (backoff.is_due("a"), backoff.is_due("b")) == (False, True)
    backoff.forget("a")
    backoff.forget("b")
    assert backoff.is_due("a")
    backoff.failed("a", OSError("disk full"))
    assert held_for(backoff, clock, "a") == 1, "it begins anew"
