"""Who takes requests: the handler of an endpoint, or of the requests that a pipeline hands over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, field
from typing import Protocol

from syft_flwr.addresses import fold_address
from syft_flwr.exchange.work import Work
from syft_flwr.models import Message

Handler = Callable[[bytes, Message], bytes | str | None]


class MessageLane(Protocol):
    """What is needed of a :class:`~syft_flwr.exchange.lane.Lane`."""

    def room(self) -> int: ...

    def offer(self, work: Work) -> bool: ...

    def stop(self, timeout: float) -> list[Work]: ...


@dataclass(eq=False)
class Route:
    """A handler, for one endpoint of one app or, without an endpoint, for the requests that a pipeline hands over.

    Args:
        allowed: Tells whether a sender's address may use it.
        concurrency: Requests of different senders handled at once.
        share_errors: Whether a sender gets the traceback of what the handler raised, not only its type and beginning.
        on_over: Called with the file ID of each request that a pipeline handed over, once it is over for good.
    """

    app: str
    endpoint: str
    handler: Handler
    allowed: Callable[[str], bool] = lambda _: True
    concurrency: int = 1
    share_errors: bool = False
    on_over: Callable[[str], None] = lambda _: None
    lane: MessageLane | None = field(default=None, repr=False)
    backlog: Backlog = field(default_factory=lambda: Backlog(), repr=False)  # noqa: PLW0108 - defined below

    @property
    def key(self) -> tuple[str, str] | None:
        """App and endpoint, if it serves one."""
        return (self.app, self.endpoint) if self.endpoint else None


class Backlog:
    """The numbers of requests that wait for room in a lane, by sender; later ones must not overtake them. Thread-safe.

    Numbers that were taken count as waiting until they are :meth:`placed`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[int]] = {}
        self._taken: dict[str, dict[int, int]] = {}
        """By sender, the numbers that are being placed, and which taking it was that took them."""
        self.takings = 0
        """How often numbers were taken."""

    def is_before(self, sender: str, number: int, *, beside: Container[int] = ()) -> bool:
        """Tell whether an earlier request of the sender waits, beside those that are being placed."""
        if not (self._waiting or self._taken):
            return False
        key = fold_address(sender)
        with self._lock:
            waiting = self._waiting.get(key)
            return (waiting is not None and waiting[0] < number) or any(
                n < number and n not in beside for n in self._taken.get(key, ())
            )

    def has_any(self) -> bool:
        """Tell whether any request waits."""
        return bool(self._waiting or self._taken)

    def has_waiting(self) -> bool:
        """Tell whether any request waits that was not taken yet."""
        return bool(self._waiting)

    def add(self, sender: str, number: int) -> None:
        """Let a request wait."""
        key = fold_address(sender)
        with self._lock:
            self._forget(key, number)
            numbers = self._waiting.setdefault(key, deque())
            numbers.append(number)
            if len(numbers) > 1 and numbers[-2] > number:
                self._waiting[key] = deque(sorted(numbers))

    def take(self, count: int) -> list[int]:
        """Take up to ``count`` of them, the senders in turn, each sender's in order."""
        taken: list[int] = []
        with self._lock:
            self.takings += 1
            while self._waiting and len(taken) < count:
                for sender in list(self._waiting)[: count - len(taken)]:
                    numbers = self._waiting.pop(sender)
                    taken.append(numbers.popleft())
                    self._taken.setdefault(sender, {})[taken[-1]] = self.takings
                    if numbers:
                        self._waiting[sender] = numbers
        return taken

    def being_placed(self) -> int:
        """Return how many were taken, and are not placed yet."""
        with self._lock:
            return sum(map(len, self._taken.values()))

    def placed(self, sender: str, number: int) -> None:
        """Note that a request is in the lane, or over."""
        if self._taken:
            with self._lock:
                self._forget(fold_address(sender), number)

    def settled(self, numbers: Collection[int], takings: int) -> None:
        """Note that these were looked at: what is not in the lane is over, or another process's, and holds up none.

        Args:
            numbers: What was looked at.
            takings: :attr:`takings` before that; what was taken again meanwhile still is to be placed.
        """
        if self._taken:
            with self._lock:
                for sender, taken in list(self._taken.items()):
                    for number in [n for n, taking in taken.items() if taking <= takings and n in numbers]:
                        del taken[number]
                    if not taken:
                        del self._taken[sender]

    def clear(self) -> list[int]:
        """Take all of them for good, in order."""
        with self._lock:
            numbers = [n for waiting in (*self._waiting.values(), *self._taken.values()) for n in waiting]
            self._waiting.clear()
            self._taken.clear()
            return sorted(numbers)

    def _forget(self, key: str, number: int) -> None:
        numbers = self._taken.get(key)
        if numbers is not None:
            numbers.pop(number, None)
            if not numbers:
                del self._taken[key]


class Routes:
    """The routes that are open. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, str], Route] = {}
        self._pipelines: set[Route] = set()

    def open(self, route: Route) -> None:
        """Open a route.

        Raises:
            ValueError: Its endpoint has a handler already.
        """
        with self._lock:
            if route.key is None:
                self._pipelines.add(route)
            elif self._endpoints.setdefault(route.key, route) is not route:
                raise ValueError(f"endpoint {route.endpoint!r} of app {route.app!r} has a handler already")

    def close(self, route: Route) -> None:
        with self._lock:
            self._pipelines.discard(route)
            if route.key is not None and self._endpoints.get(route.key) is route:
                del self._endpoints[route.key]

    def at(self, message: Message) -> Route | None:
        """Return the route of a request's endpoint."""
        return self._endpoints.get((message.app, message.endpoint))

    def is_open(self, route: Route) -> bool:
        with self._lock:
            return route in self._pipelines or (route.key is not None and self._endpoints.get(route.key) is route)

    def all(self) -> list[Route]:
        with self._lock:
            return [*self._endpoints.values(), *self._pipelines]

    def endpoints(self) -> list[Route]:
        with self._lock:
            return list(self._endpoints.values())

    def expects_handlers(self) -> bool:
        """Tell whether a request without a handler is worth a word: no pipeline may still take it."""
        with self._lock:
            return bool(self._endpoints) and not self._pipelines
