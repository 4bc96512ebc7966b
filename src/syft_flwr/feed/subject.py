"""A Subject whose observers can't harm each other or the producer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from reactivex.subject import Subject

T = TypeVar("T")


class IsolatedSubject(Subject[T]):
    """Broadcast values one at a time; an observer that raises is reported, keeps its subscription and stops nobody.

    A plain ``Subject`` neither serialises concurrent calls of ``on_next`` nor reaches the observers behind one
    that raises. Subscribing, disposing and emitting from within an observer are allowed: who subscribes meanwhile
    gets the next value, who disposes meanwhile gets no more.

    Args:
        report: Called with an observer's exception.
    """

    def __init__(self, report: Callable[[Exception], None]) -> None:
        super().__init__()
        self._report = report
        self._emitting = threading.RLock()

    def on_next(self, value: T) -> None:
        """Pass a value to every observer; after the end it is ignored."""
        if not self.observers or self.is_stopped:
            return
        with self._emitting:
            for observer in tuple(self.observers):
                try:
                    observer.on_next(value)
                except Exception as error:  # a user's pipeline; it must not stop the feed
                    self._report(error)

    def _on_completed_core(self) -> None:
        with self._emitting:
            for observer in tuple(self.observers):
                try:
                    observer.on_completed()
                except Exception as error:  # as above
                    self._report(error)
        with self.lock:
            self.observers.clear()
