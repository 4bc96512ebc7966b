from __future__ import annotations

import random
import threading

import pytest

from syft_flwr.drive.pacing import MAX_ATTEMPTS, WritePacer, WriteRate, next_delay, should_retry
from syft_flwr.errors import (
    ConflictError,
    CredentialsError,
    DriveError,
    DriveUnavailableError,
    NotFoundError,
    PageTokenRejectedError,
    PermissionDeniedError,
    RateLimitedError,
    RuntimeClosedError,
    StorageQuotaError,
    TransferError,
)
from syft_flwr.testing.clock import ManualClock


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimitedError("", status=403), True),
        (RateLimitedError("", status=429, retry_after=30), True),
        (RateLimitedError("", status=403, reason="sharingRateLimitExceeded", retry_after=3600), False),
        (DriveUnavailableError("", status=500), True),
        (DriveUnavailableError("", status=503), True),
        (DriveUnavailableError("no connection"), True),
        (DriveUnavailableError("", status=503, retry_after=7200), False),
        (StorageQuotaError("", status=403), False),
        (PermissionDeniedError("", status=403), False),
        (PageTokenRejectedError("", status=410), False),
        (DriveError("", status=400), False),
        (NotFoundError("", status=404), False),
        (ConflictError("", status=409), False),
        (CredentialsError(""), False),
        (TransferError(""), False),
        (RuntimeClosedError(""), False),
    ],
)
def test_only_limits_and_outages_are_retried(error: Exception, expected: bool) -> None:
    assert should_retry(error, 1) is expected


def test_attempts_are_bounded() -> None:
    error = DriveUnavailableError("", status=503)
    assert should_retry(error, MAX_ATTEMPTS - 1)
    assert not should_retry(error, MAX_ATTEMPTS)


def test_delays_double_with_jitter_and_stay_below_64_seconds() -> None:
    error = RateLimitedError("", status=429)
    for attempt in range(1, 20):
        full = min(64.0, 2.0 ** (attempt - 1))
        delays = [next_delay(error, attempt, random.Random(seed)) for seed in range(50)]
        assert all(full / 2 <= delay <= full for delay in delays)
        assert len(set(delays)) == 50


def test_an_outage_is_tried_again_sooner_than_a_limit() -> None:
    rng = random.Random(1)
    assert next_delay(DriveUnavailableError(""), 1, rng) <= 0.25


def test_retry_after_is_a_lower_bound() -> None:
    assert next_delay(RateLimitedError("", retry_after=90), 1, random.Random(1)) == 90
    assert next_delay(RateLimitedError("", retry_after=0), 7, random.Random(1)) >= 32


def test_writes_are_unpaced_until_drive_objects() -> None:
    rate = WriteRate()
    assert [rate.delay(0.0) for _ in range(500)] == [0.0] * 500


def test_after_an_objection_writes_are_spaced() -> None:
    rate = WriteRate()
    rate.throttled(0.0)
    assert [rate.delay(0.0) for _ in range(3)] == pytest.approx([1 / 12, 2 / 12, 3 / 12])


def test_repeated_objections_slow_down_to_3_a_second_and_no_further() -> None:
    rate = WriteRate()
    for second in range(0, 60, 3):
        rate.throttled(float(second))
    assert rate.rate == 3.0


def test_objections_to_one_burst_count_once() -> None:
    rate = WriteRate()
    for tenth in range(19):
        rate.throttled(tenth / 10)
    assert rate.rate == 12.0


def test_calm_raises_the_rate_step_by_step_and_ends_the_pacing() -> None:
    rate = WriteRate()
    rate.throttled(0.0)
    rate.throttled(5.0)
    rate.delay(16.0)
    assert rate.rate == 7.0
    rate.delay(105.0)
    assert rate.rate == 16.0
    rate.delay(1000.0)
    assert rate.rate is None


def test_an_idle_account_may_burst_by_100_again() -> None:
    rate = WriteRate()
    rate.throttled(0.0)
    delays = [rate.delay(30.0) for _ in range(101)]
    assert delays[:100] == [0.0] * 100
    assert delays[100] > 0


def test_the_pacer_waits_on_the_clock() -> None:
    clock = ManualClock(auto=True)
    pacer = WritePacer(clock, threading.Event())
    pacer.throttled()
    for _ in range(12):
        assert not pacer.wait()
    assert clock.monotonic() == pytest.approx(1.0)


def test_a_stop_breaks_off_the_pacers_wait() -> None:
    clock, stopped, results = ManualClock(), threading.Event(), []
    pacer = WritePacer(clock, stopped)
    pacer.throttled()
    waiter = threading.Thread(target=lambda: results.append(pacer.wait()))
    waiter.start()
    clock.await_waiters(1)
    stopped.set()
    waiter.join(5)
    assert results == [True]
