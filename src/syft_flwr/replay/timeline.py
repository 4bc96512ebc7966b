"""One time axis for the replays on one scheduler: what was recorded an hour later comes an hour later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from reactivex import abc
from reactivex.scheduler import VirtualTimeScheduler

_lock = threading.Lock()
_timelines: WeakKeyDictionary[abc.SchedulerBase, Timeline] = WeakKeyDictionary()


class Place:
    """Where a replay has its beginning.

    Args:
        time: Unix time at which its recording begins.
        begin: Schedules its first entry, given what time of the scheduler that is; called again when it moves.
    """

    def __init__(self, time: float, begin: Callable[[datetime], abc.DisposableBase]) -> None:
        self.time = time
        self.begin = begin
        self.pending: abc.DisposableBase | None = None
        self.has_begun = False


class Timeline:
    """The replays on a scheduler that have not ended. Thread-safe."""

    def __init__(self, scheduler: abc.SchedulerBase) -> None:
        self._scheduler = scheduler
        self._zero = scheduler.now
        self._origin = 0.0
        """Unix time of what was recorded when the scheduler showed ``_zero``."""
        self._places: list[Place] = []

    @classmethod
    def on(cls, scheduler: abc.SchedulerBase) -> Timeline:
        """Return a scheduler's one."""
        with _lock:
            return _timelines.setdefault(scheduler, cls(scheduler))

    def join(self, place: Place) -> None:
        """Take a replay in; those that have not begun move if it is the earliest."""
        with _lock:
            if not self._places:
                self._zero, self._origin = self._scheduler.now, place.time
            waiting = [place]
            if place.time < self._origin and not any(each.has_begun for each in self._places):
                self._origin = place.time
                waiting = [*self._places, place]
            self._places.append(place)
        for each in waiting:
            if each.pending is not None:
                each.pending.dispose()
            began = self._zero + timedelta(seconds=each.time - self._origin)
            each.pending = each.begin(max(began, self._scheduler.now))

    def leave(self, place: Place) -> None:
        """Let a replay go that has ended; with the last one a virtual scheduler stops, once it has done what it has to.

        What repeats itself, such as an interval, would keep it busy for ever.
        """
        with _lock:
            if place not in self._places:
                return
            self._places.remove(place)
            is_last = not self._places
        scheduler = self._scheduler
        if is_last and isinstance(scheduler, VirtualTimeScheduler):
            queue = scheduler._queue.items  # noqa: SLF001 - nothing else tells what is still to come
            last = max((item.duetime for item, _ in queue), default=None)
            if last is not None:
                # Such as a delay schedules one thing at a time: from the first to the last it takes what the feed took.
                scheduler.schedule_absolute(last + (scheduler.now - self._zero), lambda *_: self._stop(scheduler))

    def _stop(self, scheduler: VirtualTimeScheduler) -> None:
        if not self._places:  # else another replay has come meanwhile
            scheduler.stop()
