"""Eight processes that spend one account's budget as fast as it lets them, in virtual time, and are killed at random.

Time stands in shared memory and moves on when all processes wait. Usage: hammer.py DIRECTORY SECONDS SEED
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from syft_flwr.drive.budget import AccountBudget

PER_MINUTE, PER_DAY = 1_000, 20_000
PROCESSES = 8
START = datetime(2026, 11, 27, 7, 50, tzinfo=UTC).timestamp()
"""Drive's time at 0: ten minutes before midnight in California."""
CALLS = [("changes.getStartPageToken", 5), ("changes.list", 100), ("files.create", 50), ("files.get_media", 200)]
STEPS = [-86_400.0, -5_400.0, 0.0, 5_400.0, 86_400.0]
"""Seconds by which the machine's time of day may be wrong."""


class SharedTime:
    """The time now, and for each process until when it waits: 0 while it runs."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * (PROCESSES + 1))

    def now(self) -> float:
        return self._get(PROCESSES)

    def set_now(self, now: float) -> None:
        self._set(PROCESSES, now)

    def until(self, number: int) -> float:
        return self._get(number)

    def set_until(self, number: int, until: float) -> None:
        self._set(number, until)

    def _get(self, place: int) -> float:
        return struct.unpack_from("d", self._memory, 8 * place)[0]

    def _set(self, place: int, value: float) -> None:
        struct.pack_into("d", self._memory, 8 * place, value)


class ChildClock:
    """A machine's clocks, as one process sees them; its time of day is wrong by ``step`` seconds."""

    def __init__(self, shared: SharedTime, number: int, step: float) -> None:
        self._shared, self._number, self._step = shared, number, step

    def time(self) -> float:
        return START + self._shared.now() + self._step

    def monotonic(self) -> float:
        return self._shared.now()

    def sleep(self, seconds: float) -> None:
        until = self._shared.now() + seconds
        self._shared.set_until(self._number, until)
        while self._shared.now() < until:
            time.sleep(0.0002)
        self._shared.set_until(self._number, 0.0)


def spend(shared: SharedTime, number: int, directory: Path, rng: random.Random) -> None:
    clock = ChildClock(shared, number, rng.choice(STEPS))
    budget = AccountBudget(
        per_minute=PER_MINUTE, per_day=PER_DAY, path=directory / "budget", who=f"process {number} ({os.getpid()})"
    )
    calls = [CALLS[-1]] if number == 0 else [CALLS[1]] if number == 1 else CALLS
    told: float | None = None  # Drive's clock, which the first answer tells
    with (directory / f"log-{number}").open("a", buffering=1) as log:
        while True:
            (method, units), asked = rng.choice(calls), clock.monotonic()
            resting = method.startswith("changes")
            while delay := budget.reserve(units, resting=resting, clock=clock, ahead=told, method=method).seconds:
                clock.sleep(delay)
            told = START
            log.write(f"{asked} {clock.monotonic()} {units}\n")
            clock.sleep(rng.uniform(0.01, 0.3))


def main() -> None:
    directory, seconds, rng = Path(sys.argv[1]), float(sys.argv[2]), random.Random(int(sys.argv[3]))
    shared, pids, kills = SharedTime(), [0] * PROCESSES, 0

    def start(number: int) -> None:
        shared.set_until(number, 0.0)
        seed = rng.random()
        pids[number] = os.fork()
        if pids[number] == 0:
            try:
                spend(shared, number, directory, random.Random(seed))
            finally:
                os._exit(1)

    def kill(number: int) -> None:
        os.kill(pids[number], signal.SIGKILL)
        os.waitpid(pids[number], 0)

    for number in range(PROCESSES):
        start(number)
    try:
        while shared.now() < seconds:
            waits = [shared.until(number) for number in range(PROCESSES)]
            if any(until <= shared.now() for until in waits):
                if os.waitpid(-1, os.WNOHANG)[0]:
                    raise SystemExit("a process ended by itself")
                time.sleep(0.0001)
                continue
            shared.set_now(min(waits))
            if rng.random() < 0.1:
                time.sleep(rng.uniform(0, 0.001))
                number = rng.choice([waits.index(min(waits)), rng.randrange(PROCESSES)])
                kill(number)
                start(number)
                kills += 1
    finally:
        for number in range(PROCESSES):
            kill(number)
    print(kills)


if __name__ == "__main__":
    main()
