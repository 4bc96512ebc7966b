"""Gather the elements of a stream, in bounded memory: what ReactiveX's own operators don't do by sender or by bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import TypeVar

from reactivex import Observable, abc, operators
from reactivex.disposable import CompositeDisposable, SerialDisposable
from reactivex.scheduler import TimeoutScheduler

from syft_flwr.addresses import fold_address
from syft_flwr.models import Message, Received

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
E = TypeVar("E", Message, Received)


def sender_of(element: Message | Received) -> str:
    """Return who sent a message, in the spelling that is the same for all of theirs."""
    return fold_address((element if isinstance(element, Message) else element.message).sender)


def size_of(element: Message | Received) -> int:
    """Return the bytes of a message's body, loaded or not."""
    return element.size if isinstance(element, Message) else len(element.body)


def quorum(
    k: int, *, of: int, within: float, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[list[E]]]:
    """Gather one element of each of ``k`` senders, round by round.

    A round begins with the first element, and is over when all ``of`` senders have come or the time is. It drops:
    of a sender who comes twice before there are ``k``, the earlier element; of a round that has its ``k``, those of
    the other senders; of a round that has no ``k`` in time, all, when the first element after it comes or the stream
    ends. A sender who was counted and comes again after the ``k`` begins the next round.

    Args:
        k: Senders who suffice.
        of: Senders there are.
        within: Seconds that a round takes at most.
        scheduler: Whose time it is.

    Raises:
        ValueError: ``k`` is not from 1 to ``of``.
    """
    if not 1 <= k <= of:
        raise ValueError(f"k must be from 1 to {of}; it is {k}")
    clock = scheduler or TimeoutScheduler.singleton()
    longest = timedelta(seconds=within)

    def apply(source: Observable[E]) -> Observable[list[E]]:
        def subscribe(
            observer: abc.ObserverBase[list[E]], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            came: dict[str, E | None] = {}
            end = clock.now

            def on_next(element: E) -> None:
                nonlocal end
                sender, is_met = sender_of(element), len(came) >= k
                if len(came) == of or clock.now > end or (is_met and sender in came):
                    came.clear()
                    is_met = False
                if not came:
                    end = clock.now + longest
                came.pop(sender, None)
                came[sender] = None if is_met else element
                if not is_met and len(came) == k:
                    batch = [element for element in came.values() if element is not None]
                    came.update(dict.fromkeys(came))
                    observer.on_next(batch)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler_)

        return Observable(subscribe)

    return apply


def latest_per(key: Callable[[T], K]) -> Callable[[Observable[T]], Observable[dict[K, T]]]:
    """Emit, with each element, the newest of every key so far, oldest key first; each dict is the observer's own.

    It drops an element as soon as the next one of its key comes. The newest of each key stays in memory for as long
    as the subscription lasts.

    Args:
        key: What an element belongs to.
    """

    def add(newest: dict[K, T], element: T) -> dict[K, T]:
        return {**newest, key(element): element}

    start: dict[K, T] = {}
    return operators.scan(add, start)


def dedupe_by(key: Callable[[T], Hashable], *, limit: int = 10_000) -> Callable[[Observable[T]], Observable[T]]:
    """Let the first element of each key through, in bounded memory.

    It drops an element whose key is among the last ``limit`` different ones that came. A key that did not come for so
    long is forgotten: its next element passes. (``ops.distinct`` forgets none, and its memory grows for ever.)

    Args:
        key: What makes two elements the same.
        limit: Keys to remember.

    Raises:
        ValueError: ``limit`` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1; it is {limit}")

    def apply(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            seen: dict[Hashable, None] = {}

            def is_new(element: T) -> bool:
                name = key(element)
                is_first = name not in seen
                seen.pop(name, None)
                seen[name] = None
                if len(seen) > limit:
                    del seen[next(iter(seen))]
                return is_first

            return source.pipe(operators.filter(is_new)).subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    return apply


def windowed_bytes(
    most: int, seconds: float, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[list[E]]]:
    """Gather elements until their bodies would be more than ``most`` bytes together, or ``seconds`` after the first.

    A larger element comes alone. It drops nothing that comes before the stream's end; those gathered when the
    subscription is disposed, or when the stream ends with an error, are dropped.

    Args:
        most: Bytes of one list at most.
        seconds: How long the first element of a list waits at most.
        scheduler: Whose time it is; by default, lists whose time is over come on a timer's thread.

    Raises:
        ValueError: ``most`` is less than 1.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1 byte; it is {most}")
    clock = scheduler or TimeoutScheduler.singleton()

    def apply(source: Observable[E]) -> Observable[list[E]]:
        def subscribe(
            observer: abc.ObserverBase[list[E]], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            gathered: list[E] = []
            total = 0
            lock = threading.RLock()
            timer = SerialDisposable()

            def flush(*_: object) -> None:
                nonlocal gathered, total
                with lock:
                    timer.disposable = None
                    batch, gathered, total = gathered, [], 0
                    if batch:
                        observer.on_next(batch)

            def on_next(element: E) -> None:
                nonlocal total
                with lock:
                    try:
                        if total + size_of(element) > most:
                            flush()
                    finally:  # whatever the observer made of the list before
                        gathered.append(element)
                        total += size_of(element)
                        if len(gathered) == 1:
                            timer.disposable = clock.schedule_relative(seconds, flush)

            def on_completed() -> None:
                try:
                    flush()
                finally:
                    observer.on_completed()

            subscription = source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler_)
            return CompositeDisposable(subscription, timer)

        return Observable(subscribe)

    return apply
