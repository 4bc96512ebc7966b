"""Streams and handlers for asyncio. Thin: what feeds them stays on threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, TypeVar

from reactivex import Observable

T = TypeVar("T")

_LOOK_AGAIN = 1.0
"""Seconds after which a stream that waits for a reader looks whether its event loop is closed."""


async def aio(source: Observable[T], *, limit: int = 1000) -> AsyncGenerator[T, None]:
    """Let a stream be iterated over in asyncio, by ``async for``.

    Elements wait in order, at most ``limit`` of them; then the stream waits, too, and with it its other observers,
    while the feed goes on into the journal. Leaving the loop, cancelling its task, or closing the event loop ends the
    subscription; elements that wait then are dropped, as with any observer that leaves. The requests among them are in
    the journal still.

    Args:
        source: What to iterate over.
        limit: Elements that may wait. What is emitted on the event loop's own thread, as by a replay that an
            asynchronous test plays, waits without limit: nobody could take it meanwhile.

    Raises:
        Exception: The stream ended with this error.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    changed = threading.Condition()
    waiting, left = 0, False
    own_thread = threading.get_ident()

    def put(item: tuple[str, Any]) -> None:
        nonlocal waiting

        def may_go_on() -> bool:
            return left or waiting < limit or threading.get_ident() == own_thread

        with changed:
            while not changed.wait_for(may_go_on, _LOOK_AGAIN) and not loop.is_closed():
                pass
            if left or loop.is_closed():  # one that is closed takes no leave
                return
            waiting += 1
            loop.call_soon_threadsafe(queue.put_nowait, item)

    subscription = source.subscribe(
        lambda element: put(("next", element)),
        lambda error: put(("error", error)),
        lambda: put(("end", None)),
    )
    try:
        while True:
            kind, value = await queue.get()
            with changed:
                waiting -= 1
                changed.notify()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        with changed:
            left = True
            changed.notify_all()
        subscription.dispose()


def as_function(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler that can be called; an ``async def`` one runs in an event loop of its own for each request."""
    if not inspect.iscoroutinefunction(handler):
        return handler

    @wraps(handler)
    def call(*arguments: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(handler(*arguments))
        # A replay calls handlers on the thread that plays it: here that of an asynchronous test.
        with ThreadPoolExecutor(1, thread_name_prefix="syft-handler") as elsewhere:
            return elsewhere.submit(lambda: asyncio.run(handler(*arguments))).result()

    return call
