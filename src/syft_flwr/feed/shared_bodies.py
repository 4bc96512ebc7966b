"""Download a body once for all who want it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from syft_flwr.models import Message

MAX_BYTES = 32 * 1024 * 1024


class SharedBodies:
    """The bodies that pipelines want: each is downloaded once while it is kept.

    It is kept until all who want it have had it; of those, the newest 32 MB, or one that is larger. Who comes to an
    older one later downloads it anew.

    Args:
        download: Begins the download of a message's body.
    """

    def __init__(self, download: Callable[[Message], Future[bytes]]) -> None:
        self._download = download
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()
        self._kept: dict[str, tuple[int, Future[bytes]]] = {}

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
            if shared is None or (shared.done() and (shared.cancelled() or shared.exception())):
                self._kept.pop(message.file_id, None)
                shared = self._download(message)
                self._kept[message.file_id] = message.size, shared
                while len(self._kept) > 1 and sum(size for size, _ in self._kept.values()) > MAX_BYTES:
                    del self._kept[next(iter(self._kept))]
        mine: Future[bytes] = Future()
        shared.add_done_callback(lambda shared: _pass_on(shared, mine))
        return mine

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


def _pass_on(shared: Future[bytes], mine: Future[bytes]) -> None:
    if not mine.set_running_or_notify_cancel():
        return
    error = CancelledError("the runtime was closed") if shared.cancelled() else shared.exception()
    if error is None:
        mine.set_result(shared.result())
    else:
        mine.set_exception(error)
