"""Listen to what passes between one account and Drive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from syft_flwr.errors import NotFoundError, RateLimitedError, SyftFlwrError
from syft_flwr.inline import without_bodies
from syft_flwr.ports import DriveGateway
from syft_flwr.resources import Access, Account, ChangePage, DriveFile

T = TypeVar("T")


class Transfers(Protocol):
    """Hears of contents: of downloads once they are over, of uploads before they begin. Called on any thread."""

    def downloaded(self, file_id: str, body: bytes | Path | None) -> None: ...

    def uploading(
        self, file_id: str, name: str, parent: str, body: bytes | Path, properties: Mapping[str, str] | None
    ) -> None: ...


class Listener(Transfers, Protocol):
    """Hears of each exchange once it is over, uploads before they begin. Called on any thread; must not raise.

    ``poll_ended`` comes when a poll breaks off before its last page.
    """

    def page(self, token: str, page: ChangePage) -> None: ...

    def poll_ended(self) -> None: ...

    def start_token(self, token: str) -> None: ...

    def listed(self, files: Sequence[DriveFile], *, by_feed: bool) -> None: ...

    def got(self, file_id: str, file: DriveFile | None) -> None: ...


class Writes(Protocol):
    """Hears of what changes an entry of the account's feed. Called on any thread."""

    def begins(self) -> None: ...

    def ended(self, *, wrote: bool) -> None: ...


class GatewayTap:
    """A :class:`~syft_flwr.ports.DriveGateway` that passes everything on to another one, and lets others listen.

    Args:
        inner: Does the work.
        transfers: Hears of contents, and of nothing else.

    Attributes:
        writes: Hears of writes, and of nothing else.
    """

    def __init__(self, inner: DriveGateway, transfers: Transfers | None = None) -> None:
        self._inner = inner
        self._listeners: tuple[Listener, ...] = ()
        self._transfers: tuple[Transfers, ...] = () if transfers is None else (transfers,)
        self.writes: Writes | None = None
        self._lock = threading.Lock()
        self._feed_thread: int | None = None

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Stop telling a listener; it may still hear of what is under way."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def about(self) -> Account:
        self._feed_thread = threading.get_ident()
        return self._inner.about()

    def get_start_page_token(self) -> str:
        self._feed_thread = threading.get_ident()
        token = self._inner.get_start_page_token()
        for listener in self._listeners:
            listener.start_token(token)
        return token

    def peek(self) -> str:
        self._feed_thread = threading.get_ident()
        return self._inner.peek()

    def list_changes(self, page_token: str) -> ChangePage:
        self._feed_thread = threading.get_ident()
        try:
            page = self._inner.list_changes(page_token)
        except SyftFlwrError:
            for listener in self._listeners:
                listener.poll_ended()
            raise
        for listener in self._listeners:
            listener.page(page_token, page)
        return page

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        if not self._listeners:
            yield from self._inner.list_files(query, oldest_first=oldest_first)
            return
        # Whoever follows the feed sweeps as well; all others look for folders to write to. A request that is sent
        # before the feed is followed may have asked for the start token on a thread of its own.
        by_feed = threading.get_ident() == self._feed_thread
        files: list[DriveFile] = []
        for file in self._inner.list_files(query, oldest_first=oldest_first):
            files.append(file)
            yield file
        by_feed = by_feed or not all(file.is_folder for file in files)
        for listener in self._listeners:
            listener.listed(files, by_feed=by_feed)

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:
        try:
            file = self._inner.get_file(file_id, patient=patient)
        except NotFoundError:
            for listener in self._listeners:
                listener.got(file_id, None)
            raise
        for listener in self._listeners:
            listener.got(file_id, file)
        return file

    def found(self, files: Sequence[DriveFile]) -> None:
        """Tell of messages that were found beside the feed, one by one."""
        for listener in self._listeners:
            listener.listed(files, by_feed=True)

    def generate_ids(self, count: int) -> Sequence[str]:
        return self._inner.generate_ids(count)

    def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
        folder = self._write(lambda: self._inner.create_folder(file_id, name, parent))
        for listener in self._listeners:
            listener.listed([folder], by_feed=False)
        return folder

    def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
        return self._inner.share(file_id, email, may_write=may_write)

    def access(self, file_id: str) -> Access:
        return self._inner.access(file_id)

    def upload(
        self,
        file_id: str,
        name: str,
        parent: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        told = without_bodies(name, properties)
        for listener in (*self._listeners, *self._transfers) if told is not None else ():
            listener.uploading(file_id, name, parent, body, told)
        self._write(lambda: self._inner.upload(file_id, name, parent, body, properties=properties))

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        try:
            self._inner.download(file_id, target, size=size, sha256=sha256)
        except NotFoundError:
            self.downloaded(file_id, None)
            raise
        self.downloaded(file_id, target)

    def downloaded(self, file_id: str, body: bytes | Path | None) -> None:
        """Tell of a content; one that a file's properties held counts as well once a message's body is asked for."""
        for listener in (*self._listeners, *self._transfers):
            listener.downloaded(file_id, body)

    def delete(self, file_id: str) -> bool:
        return self._write(lambda: self._inner.delete(file_id))

    def _write(self, write: Callable[[], T]) -> T:
        """Let others hear of a write; one that returns ``False`` or fails has changed nothing."""
        if self.writes is None:
            return write()
        wrote = False
        self.writes.begins()
        try:
            result = write()
            wrote = result is not False
            return result
        finally:
            self.writes.ended(wrote=wrote)

    def server_time(self) -> float:
        return self._inner.server_time()

    def budget_delay(self, units: int) -> float:
        return self._inner.budget_delay(units)

    def tell_of_limits(self, tell: Callable[[RateLimitedError], None]) -> None:
        self._inner.tell_of_limits(tell)

    def note_saving(self, saving: str, *, units: int = 0, size: int = 0) -> None:
        self._inner.note_saving(saving, units=units, size=size)

    def close(self) -> None:
        self._inner.close()
