"""Download a body once for all who want it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from syft_flwr.models import Message

MAX_BYTES = 32 * 1024 * 1024


class SharedBodies:
    """The bodies that pipelines want: each is downloaded once while it is kept, for a handler, too.

    It is kept until all pipelines that want it have had it; of those, the newest 32 MB, or one that is larger. Who
    comes to an older one later downloads it anew.

    Args:
        download: Begins what :meth:`load` does for a message, on another thread.
    """

    def __init__(self, download: Callable[[Message], Future[bytes]]) -> None:
        self._download = download
        self._lock = threading.RLock()  # a replay downloads on the thread that asks
        self._wanted: Counter[str] = Counter()
        self._kept: dict[str, tuple[int, Future[bytes]]] = {}
        self._under_way: dict[str, Future[bytes]] = {}

    def want(self, message: Message) -> None:
        """Announce a call of :meth:`get`; :meth:`leave` undoes it."""
        with self._lock:
            self._wanted[message.file_id] += 1

    def get(self, message: Message) -> Future[bytes]:
        """Return a body to come, the caller's own to cancel.

        Raises:
            RuntimeClosedError: It can't be downloaded any more.
        """
        with self._lock:
            _, shared = self._kept.get(message.file_id, (0, None))
            if shared is None or (shared.done() and not _is_here(shared)):
                shared = self._download(message)
                self._keep(message, shared)
        mine: Future[bytes] = Future()
        shared.add_done_callback(lambda shared: _pass_on(shared, mine))
        return mine

    def join(self, message: Message) -> bool:
        """Want a body if a pipeline does, and tell whether; then :meth:`leave` undoes it."""
        with self._lock:
            is_wanted = message.file_id in self._wanted
            if is_wanted:
                self._wanted[message.file_id] += 1
        return is_wanted

    def load(self, message: Message, download: Callable[[], bytes]) -> bytes:
        """Return a body that is here, or that another thread is about to have, or else download it on this thread.

        Raises:
            Exception: What the download has raised.
        """
        mine: Future[bytes] = Future()
        with self._lock:
            _, kept = self._kept.get(message.file_id, (0, mine))
            theirs = kept if _is_here(kept) else self._under_way.setdefault(message.file_id, mine)
        if theirs is not mine:  # it waits for no free thread, as it has one
            return theirs.result()
        try:
            mine.set_result(download())
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[message.file_id]
                if message.file_id in self._wanted and _is_here(mine):
                    self._keep(message, mine)
        return mine.result()

    def leave(self, message: Message) -> None:
        """Forget a body that the caller has had, or does not want any more."""
        with self._lock:
            self._wanted[message.file_id] -= 1
            if self._wanted[message.file_id] > 0:
                return
            del self._wanted[message.file_id]
            _, shared = self._kept.pop(message.file_id, (0, None))
        if shared is not None:
            shared.cancel()

    def _keep(self, message: Message, body: Future[bytes]) -> None:
        self._kept.pop(message.file_id, None)
        self._kept[message.file_id] = message.size, body
        while len(self._kept) > 1 and sum(size for size, _ in self._kept.values()) > MAX_BYTES:
            del self._kept[next(iter(self._kept))]


def _is_here(body: Future[bytes]) -> bool:
    return body.done() and not body.cancelled() and body.exception() is None


def _pass_on(shared: Future[bytes], mine: Future[bytes]) -> None:
    if not mine.set_running_or_notify_cancel():
        return
    error = CancelledError("the runtime was closed") if shared.cancelled() else shared.exception()
    if error is None:
        mine.set_result(shared.result())
    else:
        mine.set_exception(error)
