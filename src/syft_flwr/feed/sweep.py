"""The safety net beside the feed: ask Drive directly for messages that the feed may bring late or never."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice

from syft_flwr import wire
from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.paging import LIST_LAG
from syft_flwr.drive.query import quote
from syft_flwr.errors import NotFoundError
from syft_flwr.ports import DriveGateway
from syft_flwr.resources import FOLDER_MIME_TYPE, DriveFile

_log = logging.getLogger(__name__)

_ASKED_SINGLY = 2
"""Folders that a full sweep asks singly, at most."""
_FEW = 1_000
"""Files of others, up to which all of them are listed, wherever they are: as many as a page has."""


class Sweeper:
    """Lists what lies in the inboxes of ``me``, and adds the folders it meets to the index.

    Args:
        gateway: The account's Drive.
        index: Known folders.
        finder: Finds others.
        me: The account's address.
        is_genuine: Tells whether an inbox is what its name says; others are looked at once.
        parents_per_query: How many folders one list may name.
    """

    def __init__(
        self,
        gateway: DriveGateway,
        index: FolderIndex,
        finder: FolderFinder,
        me: str,
        *,
        is_genuine: Callable[[Location], bool],
        parents_per_query: int,
    ) -> None:
        self._per_query = parents_per_query
        self._gateway = gateway
        self._index = index
        self._finder = finder
        self._me = me
        self._is_genuine = is_genuine
        self._foreign: set[str] = set()
        """Folders of inboxes that are not what their names say, and whose files were listed once, to be refused."""
        self._asked_singly: set[str] = set()
        """Folders whose messages were listed by a query that named no other."""
        self._has_few = True
        """Whether others have few files that this account can see."""

    def find_folders(self, names: Collection[str], *, since: float) -> None:
        """List the folders of the inboxes.

        They are found by their names. Only where that leaves no endpoint below an app, the endpoint's name is unknown
        here, and the app is asked for its endpoints.

        Args:
            names: App and endpoint names to look for, beside the inbox roots.
            since: Monotonic time from which on an earlier look is good enough.
        """
        self._index.retry_invisible()
        self._finder.find(names, since=since)
        for chunk in _chunks(sorted(self._index.childless(wire.RPC_FOLDER)), self._per_query):
            self._index.add(list(self._subfolders(chunk)))

    def messages(self, marks: dict[str, str], until: float) -> Iterator[DriveFile]:
        """List every message file in the known inboxes, those of a hundred endpoint folders at a time, oldest first.

        Drive sometimes finds nothing, or a part, where a query names several parents
        (https://github.com/rclone/rclone/issues/3114). So what others own is listed as well without naming any, where
        that is no more than a page; else some of the folders are asked singly, other ones each time, those first that
        have brought nothing.

        Args:
            marks: For each folder, the time (RFC 3339) up to which its messages are done and need no listing.
            until: Drive's time, Unix seconds: what claims to be made later is not looked at, now.
        """
        places = self._index.endpoints()
        foreign = {place.folder_id for place in places if not self._is_genuine(place)}
        folders = sorted({place.folder_id for place in places} - (foreign & self._foreign))
        brought: set[str] = set()
        if self._per_query == 1:
            yield from self._one_by_one(folders, marks, until, besides=foreign & self._foreign)
            self._foreign = foreign
            return
        if len(folders) <= _ASKED_SINGLY:
            self._asked_singly.difference_update(folders)
        else:
            for chunk in _chunks(folders, self._per_query):
                for file in self._in_folders(chunk, marks, until):
                    brought.update(file.parents)
                    yield file
            if self._has_few:
                yield from self._anywhere(until, besides=foreign & self._foreign)
                folders = [] if self._has_few else folders
        doubted = sorted(set(folders) - self._asked_singly, key=lambda folder: (folder in brought, folder))
        for folder in doubted[:_ASKED_SINGLY]:
            yield from self._in_folders([folder], marks, until)
            self._asked_singly.add(folder)
        self._foreign = foreign

    def lists_of_full(self) -> int:
        """Return about how many lists a full sweep takes now."""
        names_folders = self._per_query > 1 or not self._has_few
        return 2 + (len(self._index.endpoints()) // self._per_query if names_folders else 0)

    def _one_by_one(
        self, folders: Sequence[str], marks: dict[str, str], until: float, *, besides: AbstractSet[str]
    ) -> Iterator[DriveFile]:
        """List what others own without naming folders, or else each folder by itself."""
        if self._has_few:
            yield from self._anywhere(until, besides=besides)
        if not self._has_few:
            for folder in folders:
                yield from self._in_folders([folder], marks, until)

    def _anywhere(self, until: float, *, besides: AbstractSet[str]) -> Iterator[DriveFile]:
        """List what others own, if that is no more than a page."""
        listed = self._gateway.list_files(f"trashed = false and {self._by_others(until)}", oldest_first=True)
        files = list(islice(listed, _FEW))
        self._has_few = len(files) < _FEW
        yield from (file for file in files if besides.isdisjoint(file.parents))

    def own_replies(self) -> Iterator[tuple[DriveFile, Location]]:
        """List this account's own replies, and where they lie: in every known inbox of somebody else.

        One that is left out lets a handler run again, so no query names several folders (:meth:`messages`).
        """
        outgoing = {location.folder_id: location for location in self._index.endpoints(outgoing=True)}
        if not outgoing:
            return
        kind = f"{quote(self._me)} in owners and mimeType != {quote(FOLDER_MIME_TYPE)}"
        files = list(islice(self._gateway.list_files(f"trashed = false and {kind}"), _FEW))
        if len(files) == _FEW:
            each = (self._list_in([one], kind, lambda folder: f"{quote(folder)} in parents") for one in outgoing)
            files = list(chain.from_iterable(each))
        for file in files:
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

    def _subfolders(self, folders: Sequence[str]) -> Iterator[DriveFile]:
        kind = f"mimeType = {quote(FOLDER_MIME_TYPE)}"
        return self._list_in(folders, kind, lambda folder: f"{quote(folder)} in parents")

    def _in_folders(self, folders: Sequence[str], marks: dict[str, str], until: float) -> Iterator[DriveFile]:
        def condition(folder: str) -> str:
            if folder not in marks:
                return f"{quote(folder)} in parents"
            return f"({quote(folder)} in parents and createdTime > {quote(marks[folder])})"

        return self._list_in(folders, self._by_others(until), condition)

    def _by_others(self, until: float) -> str:
        return f"mimeType != {quote(FOLDER_MIME_TYPE)} and {_made_by(until)} and not {quote(self._me)} in owners"

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
