"""The safety net beside the feed: ask Drive directly for messages that the feed may bring late or never."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.query import any_of, quote
from syft_flwr.errors import NotFoundError
from syft_flwr.models import FOLDER_MIME_TYPE, DriveFile
from syft_flwr.ports import DriveGateway
from syft_flwr.state.processed import LIST_LAG

_log = logging.getLogger(__name__)

_PARENTS_PER_QUERY = 100
_NAMES_PER_QUERY = 100
_ASKED_SINGLY = 3
"""Folders that a full sweep asks singly, at most."""


class Sweeper:
    """Lists what lies in the inboxes of ``me``, and adds the folders it meets to the index.

    Args:
        gateway: The account's Drive.
        index: Known folders.
        me: The account's address.
        is_genuine: Tells whether an inbox is what its name says; others are looked at once.
    """

    def __init__(
        self, gateway: DriveGateway, index: FolderIndex, me: str, *, is_genuine: Callable[[Location], bool]
    ) -> None:
        self._gateway = gateway
        self._index = index
        self._me = me
        self._is_genuine = is_genuine
        self._foreign: set[str] = set()
        """Folders of inboxes that are not what their names say, and whose files were listed once, to be refused."""
        self.asked_singly: set[str] = set()
        """Folders whose messages were listed by a query that named no other."""

    def find_folders(self, names: Iterable[str]) -> None:
        """List the folders of the inboxes.

        They are found by their names: walking down the levels would cost a call or more for each sender. Only where
        that leaves no endpoint below an app, the endpoint's name is unknown here, and the app is asked for its
        endpoints.

        Args:
            names: App and endpoint names to look for, beside the inbox roots.
        """
        self._index.retry_invisible()
        self._list_folders({wire.RPC_FOLDER, *names})
        for chunk in _chunks(sorted(self._index.childless(wire.RPC_FOLDER)), _PARENTS_PER_QUERY):
            self._index.add(list(self._subfolders(chunk)))

    def messages(self, marks: dict[str, str], until: float) -> Iterator[DriveFile]:
        """List every message file in the known inboxes, those of a hundred endpoint folders at a time, oldest first.

        Drive sometimes finds nothing, or a part, where a query names several parents
        (https://github.com/rclone/rclone/issues/3114): some of the folders are asked singly as well, other ones each
        time, those first that have brought nothing.

        Args:
            marks: For each folder, the time (RFC 3339) up to which its messages are done and need no listing.
            until: Drive's time, Unix seconds: what claims to be made later is not looked at, now.
        """
        places = self._index.endpoints()
        foreign = {place.folder_id for place in places if not self._is_genuine(place)}
        folders = sorted({place.folder_id for place in places} - (foreign & self._foreign))
        brought: set[str] = set()
        if len(folders) <= _ASKED_SINGLY:
            self.asked_singly.difference_update(folders)
        else:
            for chunk in _chunks(folders, _PARENTS_PER_QUERY):
                for file in self._in_folders(chunk, marks, until):
                    brought.update(file.parents)
                    yield file
        doubted = sorted(set(folders) - self.asked_singly, key=lambda folder: (folder in brought, folder))
        for folder in doubted[:_ASKED_SINGLY]:
            yield from self._in_folders([folder], marks, until)
            self.asked_singly.add(folder)
        self._foreign = foreign

    def own_replies(self) -> Iterator[tuple[DriveFile, Location]]:
        """List this account's own message files, and where they lie: in every known inbox of somebody else."""
        outgoing = {location.folder_id: location for location in self._index.endpoints(outgoing=True)}
        for chunk in _chunks(sorted(outgoing), _PARENTS_PER_QUERY):
            for file in self._list_in(
                chunk, f"{quote(self._me)} in owners", lambda folder: f"{quote(folder)} in parents"
            ):
                if file.parents and file.parents[0] in outgoing and wire.message_kind(file.name) == "response":
                    yield file, outgoing[file.parents[0]]

    def recent(self, since: float, until: float) -> Iterator[DriveFile]:
        """List what others created between two times (Unix seconds, Drive's clock), oldest first: a call or two."""
        self._index.retry_invisible()
        found = self._gateway.list_files(
            f"trashed = false and createdTime > {quote(wire.timestamp(since))} and {_made_by(until)} and "
            f"not {quote(self._me)} in owners",
            oldest_first=True,
        )
        for file in found:
            if file.is_folder:
                self._index.add([file])
            else:
                yield file

    def _list_folders(self, names: set[str]) -> None:
        written_by = wire.timestamp(self._gateway.server_time() - LIST_LAG)
        listed: set[str] = set()
        for chunk in _chunks(sorted(names), _NAMES_PER_QUERY):
            found = list(
                self._gateway.list_files(
                    f"mimeType = {quote(FOLDER_MIME_TYPE)} and trashed = false and "
                    f"(name contains {quote(wire.INBOX_PREFIX.rstrip('_'))} or {any_of('name = {}', chunk)})"
                )
            )
            self._index.add(found)
            listed.update(folder.id for folder in found)
        # Renamed, trashed or deleted while the feed had a gap? A list's silence proves nothing.
        for folder in self._index.with_names(names):
            if folder.id not in listed and folder.created_time < written_by:
                self._index.refresh(folder.id)

    def _subfolders(self, folders: Sequence[str]) -> Iterator[DriveFile]:
        kind = f"mimeType = {quote(FOLDER_MIME_TYPE)}"
        return self._list_in(folders, kind, lambda folder: f"{quote(folder)} in parents")

    def _in_folders(self, folders: Sequence[str], marks: dict[str, str], until: float) -> Iterator[DriveFile]:
        def condition(folder: str) -> str:
            if folder not in marks:
                return f"{quote(folder)} in parents"
            return f"({quote(folder)} in parents and createdTime > {quote(marks[folder])})"

        kind = f"mimeType != {quote(FOLDER_MIME_TYPE)} and {_made_by(until)} and not {quote(self._me)} in owners"
        return self._list_in(folders, kind, condition)

    def _list_in(self, folders: Sequence[str], kind: str, condition: Callable[[str], str]) -> Iterator[DriveFile]:
        conditions = " or ".join(condition(folder) for folder in folders)
        try:
            yield from self._gateway.list_files(f"trashed = false and {kind} and ({conditions})", oldest_first=True)
        except NotFoundError:
            # One folder that is gone makes Drive refuse the whole query: halve until it stands alone.
            if len(folders) == 1:
                _log.info("inbox folder %s is gone", folders[0])
                self._index.forget(folders[0])
                return
            middle = len(folders) // 2
            yield from self._list_in(folders[:middle], kind, condition)
            yield from self._list_in(folders[middle:], kind, condition)


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _made_by(until: float) -> str:
    """Return the condition that keeps files out of a list that claim to be made later: there may be any number."""
    return f"createdTime <= {quote(wire.timestamp(until + LIST_LAG))}"
