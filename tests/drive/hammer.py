"""Eight processes that spend one account's budget as fast as it lets them, and are killed at random.

In virtual time each tells until when it waits, and goes on when it is told what time it is: time moves on when all
wait. With a SPEED all run at once, on a clock that goes so many times as fast as the machine's, and find most of the
day spent. Usage: hammer.py DIRECTORY SECONDS SEED [SPEED]
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from syft_flwr.drive.budget import AccountBudget

PER_MINUTE, PER_DAY = 1_000, 20_000
PROCESSES = 8
START = datetime(2026, 11, 27, 7, 50, tzinfo=UTC).timestamp()
"""Drive's time at 0: ten minutes before midnight in California."""
CALLS = [("changes.getStartPageToken", 5), ("changes.list", 100), ("files.create", 50), ("files.get_media", 200)]
SPENT = PER_DAY - 600
"""Units that are spent of the day on which processes begin to run at once."""
MIDNIGHT = 600.0
FAST_START = MIDNIGHT - 120.0
STEPS = [-86_400.0, -5_400.0, 0.0, 5_400.0, 86_400.0]
"""Seconds by which the machine's time of day may be wrong."""


_LINES = 900
"""A process that is to be killed at work dies at one of so many lines that it executes next; a booking has some 600."""


class ChildClock:
    """A machine's clocks, as one process sees them; its time of day is wrong by ``step`` seconds."""

    def __init__(self, orders: Connection, step: float) -> None:
        self._orders, self._step, self.last = orders, step, 0.0
        self._wait()

    def time(self) -> float:
        return START + self.last + self._step

    def monotonic(self) -> float:
        return self.last

    def pass_by(self, seconds: float) -> None:
        sys.settrace(None)
        self._orders.send_bytes(struct.pack("d", self.last + seconds))
        self._wait()

    def _wait(self) -> None:
        self.last, lines = struct.unpack("di", self._orders.recv_bytes())
        if lines:
            sys.settrace(_dying(lines))


def _dying(lines: int) -> Callable[[FrameType, str, object], object]:
    """Return a tracer that kills this process when it has executed so many lines."""
    left = iter(range(lines))

    def trace(_frame: FrameType, event: str, _value: object) -> object:
        if event == "line" and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


class FastClock:
    """The machine's clock, faster; all see the same time, and each a time of day that is wrong by ``step``."""

    def __init__(self, began: float, speed: float, step: float) -> None:
        self._began, self._speed, self._step, self.last = began, speed, step, 0.0
        self._never = threading.Event()

    def time(self) -> float:
        return START + self._now() + self._step

    def monotonic(self) -> float:
        self.last = self._now()
        return self.last

    def pass_by(self, seconds: float) -> None:
        self._never.wait(seconds / self._speed)

    def _now(self) -> float:
        return FAST_START + (time.monotonic() - self._began) * self._speed


def spend(
    clock: ChildClock | FastClock,
    number: int,
    directory: Path,
    rng: random.Random,
    on_call: Callable[[float], None] = lambda _: None,
) -> None:
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
                clock.pass_by(delay)
            told = START
            log.write(f"{asked} {clock.last} {units}\n")
            on_call(clock.last)
            clock.pass_by(rng.uniform(0.01, 0.3))


class Process:
    """One of the processes, and until when it waits."""

    def __init__(self, number: int, directory: Path, now: float, rng: random.Random) -> None:
        self.until, self._dies = now, False
        self._orders, theirs = Pipe()
        seed = rng.random()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                own = random.Random(seed)
                spend(ChildClock(theirs, own.choice(STEPS)), number, directory, own)
            finally:
                os._exit(1)
        theirs.close()

    def go_on(self, now: float, lines: int) -> None:
        """Let it work; with ``lines``, until it has executed so many."""
        self._dies = lines > 0
        self._orders.send_bytes(struct.pack("di", now, lines))

    def waits(self) -> bool:
        """Tell whether it waits again, or was killed as it was told."""
        try:
            (self.until,) = struct.unpack("d", self._orders.recv_bytes())
        except (EOFError, ConnectionError):
            if not self._dies:
                raise SystemExit("a process ended by itself") from None
            return False
        return True

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._orders.close()


def take_turns(directory: Path, seconds: float, rng: random.Random) -> int:
    """Let processes work in virtual time; return how many were killed."""
    now, kills = 0.0, 0
    processes = [Process(number, directory, now, rng) for number in range(PROCESSES)]
    try:
        while now < seconds:
            # Some oversleep, and so find others at work.
            now = max(now, min(process.until for process in processes) + rng.choice([0.0, 0.5]))
            due = [number for number in range(PROCESSES) if processes[number].until <= now]
            lost = {rng.randrange(PROCESSES)} - set(due) if rng.random() < 0.05 else set()
            for number in due:
                processes[number].go_on(now, rng.randrange(1, _LINES) if rng.random() < 0.1 else 0)
            lost |= {number for number in due if not processes[number].waits()}
            for number in lost:
                processes[number].kill()
                processes[number] = Process(number, directory, now, rng)
                kills += 1
    finally:
        for process in processes:
            process.kill()
    return kills


def run_at_once(directory: Path, seconds: float, rng: random.Random, speed: float) -> int:
    """Let processes work on a fast clock, until each has had its turn, and kill some; return how many it were."""
    began, kills = time.monotonic(), 0
    before = AccountBudget(per_day=PER_DAY, path=directory / "budget")
    earlier = FastClock(began + 300 / speed, speed, 0.0)
    before.reserve(SPENT, resting=False, clock=earlier, ahead=START)
    before.close()

    turns, told = Pipe(duplex=False)
    had: set[int] = set()
    """Processes that have spent something of the day that began at midnight."""

    def start(number: int) -> int:
        own = random.Random(rng.random())

        def tell(at: float) -> None:
            if at >= MIDNIGHT:
                told.send_bytes(bytes([number]))

        pid = os.fork()
        if pid == 0:
            try:
                spend(FastClock(began, speed, own.choice(STEPS)), number, directory, own, tell)
            finally:
                os._exit(1)
        return pid

    def listen(until: float) -> None:
        while (left := until - time.monotonic()) > 0 and wait([turns], left):
            had.update(turns.recv_bytes())

    pids = [start(number) for number in range(PROCESSES)]
    try:
        while time.monotonic() < began + seconds / speed:
            listen(time.monotonic() + rng.uniform(0.0, 30.0) / speed)
            number = rng.randrange(PROCESSES)
            end(pids[number])
            pids[number] = start(number)
            kills += 1
        while len(had) < PROCESSES:
            had.update(turns.recv_bytes())
    finally:
        for pid in pids:
            end(pid)
    return kills


def end(pid: int) -> None:
    """Kill a process of ours, which has not ended by itself.

    Raises:
        SystemExit: It has.
    """
    os.kill(pid, signal.SIGKILL)
    if os.WIFEXITED(os.waitpid(pid, 0)[1]):
        raise SystemExit("a process ended by itself")


def main() -> None:
    directory, seconds, rng = Path(sys.argv[1]), float(sys.argv[2]), random.Random(int(sys.argv[3]))
    if len(sys.argv) > 4:
        print(run_at_once(directory, seconds, rng, float(sys.argv[4])))
    else:
        print(take_turns(directory, seconds, rng))


if __name__ == "__main__":
    main()
