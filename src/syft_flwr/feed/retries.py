"""Try a mapper again, and see to what it could not do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import reactivex as rx
from reactivex import Observable, abc, operators

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[T]):
    """An element that a mapper failed for in all its tries, and the last error."""

    element: T
    error: Exception


def retrying(
    mapper: Callable[[T], R], times: int = 3, delay: float = 1.0, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Observable[R | DeadLetter[T]]]:
    """Map each element, and try again when the mapper raises; what failed to the last becomes a :class:`DeadLetter`.

    The stream never ends by an error of the mapper, and no element is lost to one. Elements that come while another
    one waits for its next try overtake it. It drops the elements that wait for a try when the subscription is
    disposed, or when the stream before it ends with an error.

    Args:
        mapper: What may fail.
        times: Tries in all.
        delay: Seconds between two tries of one element.
        scheduler: Whose time it is; by default, tries after the first are on a timer's thread.

    Raises:
        ValueError: ``times`` is less than 1.
    """
    if times < 1:
        raise ValueError(f"times must be at least 1; it is {times}")

    def attempt(element: T, left: int) -> Observable[R | DeadLetter[T]]:
        def on_failure(error: Exception, _: Observable[R | DeadLetter[T]]) -> Observable[R | DeadLetter[T]]:
            if left == 1:
                return rx.just(DeadLetter(element, error))
            later = rx.timer(delay, scheduler=scheduler)
            return later.pipe(operators.flat_map(lambda _: attempt(element, left - 1)))

        def once(_: abc.SchedulerBase) -> Observable[R | DeadLetter[T]]:
            return rx.just(mapper(element))

        return rx.defer(once).pipe(operators.catch(on_failure))

    return operators.flat_map(lambda element: attempt(element, times))


def dead_letters(
    bury: Callable[[DeadLetter[T]], object],
) -> Callable[[Observable[R | DeadLetter[T]]], Observable[R]]:
    """Hand the dead letters of :func:`retrying` to a function, and let everything else through.

    It drops each dead letter once ``bury`` has returned: keep there what must not be lost. If it raises, the stream
    ends with that error.

    Args:
        bury: Gets each dead letter, in its place in the stream.
    """

    def living(element: R | DeadLetter[T]) -> Observable[R]:
        if not isinstance(element, DeadLetter):
            return rx.just(element)
        bury(element)
        return rx.empty()

    return operators.flat_map(living)
