"""The time of a replay: plays the entries of a recording on a scheduler, or as fast as they came."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from reactivex import abc
from reactivex.scheduler import VirtualTimeScheduler

from syft_flwr.clock import SystemClock
from syft_flwr.errors import RecordingError
from syft_flwr.recording.reader import Recording
from syft_flwr.replay.player import RecordingPlayer
from syft_flwr.replay.timeline import Place, Timeline


class Playback:
    """Plays a recording once, an entry after the other.

    Args:
        recording: What is played.
        scheduler: Where; by default on a virtual one of its own.
        speed: Play in real time, this many times as fast as it was, and not on the scheduler.

    Attributes:
        player: Does what was done at an entry; to be set before it begins, since it asks for the time.
        line: The line at which it stands.
        at: Seconds of that line since the recording's beginning.
        failure: What ended it early.
    """

    def __init__(self, recording: Recording, scheduler: abc.SchedulerBase | None, speed: float | None) -> None:
        self.player: RecordingPlayer
        self.line = 1
        self.at = 0.0
        self.failure: RecordingError | None = None
        self.scheduler = scheduler or VirtualTimeScheduler()
        self._recording = recording
        self._speed = speed
        self._began = self.scheduler.now
        self._place = Place(recording.header.time, self._begin)
        self._started = False
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._now: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end, or was closed."""
        return self._over.is_set()

    @property
    def was_left(self) -> bool:
        """Whether it neither began nor was told not to."""
        if isinstance(self.scheduler, VirtualTimeScheduler) and not self.is_over:
            has_begun = self._place.has_begun  # it is started from the beginning
        else:
            has_begun = self._started or self.is_over
        return not (has_begun or self._stopping.is_set())

    def time(self) -> float:
        """Return the Unix time at which the feed was recorded, moved on by the scheduler."""
        if self._now is not None:  # while an entry is played, time stands still
            return self._now
        elapsed = (self.scheduler.now - self._began).total_seconds() if self._started else 0.0
        return self._recording.header.time + max(self.at, elapsed)

    def start(self) -> None:
        """Put it on its scheduler; idempotent."""
        if not self._started:
            self._started = True
            Timeline.on(self.scheduler).join(self._place)

    def run(self) -> None:
        """Play to the end; blocks until then."""
        if self._speed is not None:
            self._play_in_real_time(self._speed)
        elif isinstance(self.scheduler, VirtualTimeScheduler):
            with _frozen():
                VirtualTimeScheduler.start(self.scheduler)
        else:
            self.start()
            SystemClock().wait(self._over, None)

    def stop(self) -> None:
        """Play no further entry; callable from anywhere, returns at once."""
        self._stopping.set()

    def close(self) -> None:
        """Play nothing more; idempotent."""
        self._stopping.set()
        self._over.set()
        Timeline.on(self.scheduler).leave(self._place)

    def _begin(self, began: datetime) -> abc.DisposableBase:
        self._began = began
        return self._schedule(0)

    def _schedule(self, index: int) -> abc.DisposableBase:
        """Play an entry at its time, and then schedule the next."""
        entries = self._recording.entries

        def play(_: abc.SchedulerBase, __: Any = None) -> None:
            self._place.has_begun = True
            if not self._stopping.is_set() and index < len(entries) and self._play(index):
                self._schedule(index + 1)
            else:
                self._end()

        at = entries[index].at if index < len(entries) else self.at
        return self.scheduler.schedule_absolute(self._began + timedelta(seconds=at), play)

    def _play_in_real_time(self, speed: float) -> None:
        clock = SystemClock()
        began = clock.monotonic()
        for index, entry in enumerate(self._recording.entries):
            left = began + entry.at / speed - clock.monotonic()
            if self._stopping.wait(max(0.0, left)) or not self._play(index):
                break
        self._end()

    def _end(self) -> None:
        self.player.end()
        self._over.set()
        Timeline.on(self.scheduler).leave(self._place)

    def _play(self, index: int) -> bool:
        """Do what was done at an entry; return whether to go on."""
        entry = self._recording.entries[index]
        self.line, self.at = entry.line, entry.at
        self._now = self.time()
        try:
            self.player.play(index)
        except RecordingError as error:
            self.failure = error
            return False
        except Exception as error:  # on a scheduler's thread nobody would hear of it
            self.failure = RecordingError(f"line {self.line} can't be replayed: {error!r}", line=self.line)
            self.failure.__cause__ = error
            return False
        finally:
            self._now = None
        return True


@contextmanager
def _frozen() -> Iterator[None]:
    """Let the garbage collector not look, again and again, at what is there already: the whole recording."""
    is_theirs = gc.get_freeze_count() > 0
    if not is_theirs:
        gc.freeze()
    try:
        yield
    finally:
        if not is_theirs:
            gc.unfreeze()
