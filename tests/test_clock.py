from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from syft_flwr.clock import SystemClock
from syft_flwr.testing.clock import ManualClock


class Waiting:
    """A thread that waits once, or again and again, on a clock."""

    def __init__(self, clock, timeout, *, repeat=False):
        self.event = threading.Event()
        self.results = []
        self._thread = threading.Thread(target=self._run, args=(clock, timeout, repeat))

    def _run(self, clock, timeout, repeat):
        while True:
            self.results.append(clock.wait(self.event, timeout))
            if self.event.is_set() or not repeat:
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.event.set()
        self.join()

    def join(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_the_system_clock_tells_the_machines_time():
    clock = SystemClock()

    assert time.time() <= clock.time() <= time.time()
    before = clock.monotonic()
    assert before <= clock.monotonic()


def test_the_system_clock_waits_for_an_event_or_a_timeout_of_any_length():
    clock = SystemClock()
    event = threading.Event()

    assert not clock.wait(event, 0)
    assert not clock.wait(event, -1)
    assert not clock.wait(event, 1e-3)
    event.set()
    assert clock.wait(event, None)
    assert clock.wait(event, 1e30)


def test_the_time_for_which_the_machine_sleeps_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    awake, asleep, waits = 100.0, [0.0], []

    class Sleeping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            asleep[0] = 36_000.0
            return False

    monkeypatch.setattr(time, "monotonic", lambda: awake)
    monkeypatch.setattr(time, "clock_gettime", lambda _: awake + asleep[0])
    with ThreadPoolExecutor(1) as other:
        assert not other.submit(SystemClock().wait, Sleeping(), 30_000.0).result(10.0)
    assert SystemClock().monotonic() == awake + 36_000.0
    assert len(waits) == 1
    assert waits[0] <= 60.0, "the machine's sleep does not count for a wait of Python's"


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(start=1000.0)

    assert (clock.time(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (1002.5, 2.5)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_advancing_to_a_deadline_ends_the_wait_and_not_before():
    clock = ManualClock()
    with Waiting(clock, 10) as waiting:
        clock.await_waiters(1)
        clock.advance(9.5)
        clock.await_waiters(1)
        assert waiting.results == []

        clock.advance(0.5)
        waiting.join()

        assert waiting.results == [False]


def test_an_event_ends_a_wait_without_any_time_passing():
    clock = ManualClock()
    with Waiting(clock, 10) as timed, Waiting(clock, None) as untimed:
        clock.await_waiters(2)
        timed.event.set()
        untimed.event.set()
        timed.join()
        untimed.join()

    assert timed.results == untimed.results == [True]
    assert clock.monotonic() == 0


def test_a_wait_without_timeout_outlasts_any_time():
    clock = ManualClock()
    with Waiting(clock, None) as waiting:
        clock.await_waiters(1)
        clock.advance(1e9)
        clock.await_waiters(1)
        assert waiting.results == []


def test_a_wait_of_no_time_returns_at_once():
    clock = ManualClock()

    assert not clock.wait(threading.Event(), 0)
    assert not clock.wait(threading.Event(), -5)


def test_a_thread_whose_wait_is_over_does_not_count_until_it_waits_again():
    clock = ManualClock()
    with Waiting(clock, 2, repeat=True) as loop:
        for rounds in range(1, 6):
            clock.await_waiters(1)
            clock.advance(2)
            clock.await_waiters(1)
            assert loop.results == [False] * rounds

    assert clock.waits == (2,) * 6


def test_threads_that_do_not_come_are_missed():
    clock = ManualClock()
    with pytest.raises(TimeoutError, match="0 threads wait"):
        clock.await_waiters(1, timeout=0.01)

    with Waiting(clock, 5):
        clock.await_waiters(1)
        clock.advance(5)
        with pytest.raises(TimeoutError, match="0 threads wait"):
            clock.await_waiters(1, timeout=0.01)


def test_an_automatic_clock_passes_an_hour_of_polls_without_waiting():
    clock = ManualClock(auto=True)
    stop = threading.Event()

    polls = 0
    while clock.monotonic() < 3600:
        assert not clock.wait(stop, 2)
        polls += 1

    assert polls == 1800
    assert clock.waits == (2,) * 1800
    stop.set()
    assert clock.wait(stop, 2)
    assert clock.monotonic() == 3600


def test_an_automatic_clock_waits_for_an_event_when_there_is_no_timeout():
    clock = ManualClock(auto=True)
    with Waiting(clock, None) as waiting:
        clock.await_waiters(1)
        waiting.event.set()
        waiting.join()
        assert waiting.results == [True]


def test_a_signal_that_another_thread_takes_still_interrupts_the_main_thread() -> None:
    code = """
import os, signal, threading
from syft_flwr.clock import SystemClock

blocked = threading.Event()

def take():
    blocked.wait()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=take).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
blocked.set()
try:
    SystemClock().wait(threading.Event(), None)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "interrupted\n"
