"""The seams: what the feed, the ledger and the runtime need from the outside world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from syft_flwr.errors import RateLimitedError
from syft_flwr.resources import Access, Account, ChangePage, DriveFile

T = TypeVar("T")


class DriveGateway(Protocol):
    """Google Drive as one account sees it.

    Thread-safe. Every method retries what may be retried and raises the errors of :mod:`syft_flwr.errors`;
    a method that writes takes an ID reserved with :meth:`generate_ids`, so repeating it never makes a second file.
    """

    def about(self) -> Account: ...

    def get_start_page_token(self) -> str: ...

    def peek(self) -> str:
        """Return the start token as it is now, for a poll: if it is the one to go on from, nothing is new."""

    def list_changes(self, page_token: str) -> ChangePage:
        """Fetch one page of the change feed.

        Raises:
            PageTokenRejectedError: Drive does not accept the token.
        """

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        """List the files that match a ``q`` expression, following every page; without an order, Drive chooses one.

        One that failed for a limit or an outage goes on with the page that failed when it is asked for again soon.

        Raises:
            NotFoundError: A parent that the query names is gone (while iterating).
        """

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:
        """Fetch a file's metadata; without patience, a failure is raised at once instead of retried."""

    def generate_ids(self, count: int) -> Sequence[str]: ...

    def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
        """Create a folder (``parent`` ``None``: in My Drive's root) under a reserved ID; existing counts as success."""

    def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
        """Let ``email`` write to the file, or read it, without a notice by mail; repeating it is harmless.

        Returns the account with which Drive has really shared, by the address and ID that it knows.
        """

    def access(self, file_id: str) -> Access:
        """Tell who may write into a folder."""

    def upload(
        self,
        file_id: str,
        name: str,
        parent: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Create a file under a reserved ID, resumable above 5 MB; existing counts as success."""

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        """Stream a file's content to ``target``, resuming after a break.

        Raises:
            DamagedDownloadError: Size or checksum are not what Drive's metadata said.
        """

    def delete(self, file_id: str) -> bool:
        """Delete a file of one's own for good; return whether it was there. One that is gone is no error."""

    def server_time(self) -> float:
        """Drive's clock: Unix seconds, from the last answer's ``Date``; the local clock before the first answer."""

    def budget_delay(self, units: int) -> float:
        """Return the seconds until ``units`` more fit into the quota budget; 0 when they fit now."""

    def tell_of_limits(self, tell: Callable[[RateLimitedError], None]) -> None:
        """Call this with the first error of each time in which the budget or Drive holds calls up."""

    def note_saving(self, saving: str, *, units: int = 0, size: int = 0) -> None:
        """Note for the bill what was not spent.

        Args:
            saving: By what: ``"peeks"``, ``"inlined bodies"``, ``"shared objects"`` or ``"kept objects"``.
            units: Quota units.
            size: Bytes.
        """

    def close(self) -> None:
        """Break off whatever is under way; every later call raises ``RuntimeClosedError``. Idempotent."""


JSON = Any
"""A value that JSON can hold."""


class Transaction(Protocol):
    """Reads and writes inside one transaction of a :class:`StateStore`."""

    def get(self, key: str) -> JSON | None: ...

    def put(self, key: str, value: JSON) -> None: ...

    def delete(self, key: str) -> None:
        """Remove the key; an absent one is no error."""

    def scan(self, prefix: str, *, after: str | None = None, limit: int | None = None) -> Iterator[tuple[str, JSON]]:
        """Yield the keys that start with ``prefix``, and their values, in order of the keys' UTF-8 bytes.

        Args:
            prefix: What the keys start with.
            after: Begin behind this key.
            limit: Rows at most.
        """


class StateStore(Protocol):
    """Durable keyed JSON with transactions that are atomic, isolated and on disk when they return.

    Several threads, and several processes on one machine, may use one store.
    """

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction: all of its writes are kept, or (when it raises) none."""

    def close(self) -> None:
        """Close the store; idempotent."""


class Clock(Protocol):
    """Time, so that tests can own it. All values are seconds."""

    def time(self) -> float:
        """Unix time."""

    def monotonic(self) -> float:
        """A clock that never goes back."""

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """Wait until the event is set or ``timeout`` seconds have passed; return whether it is set."""
