"""The safety net beside the feed: ask Drive directly for messages that the feed may bring late or never."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

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
_ANYWHERE: Sequence[str] = ()
_FEW = 1_000
"""Files of others, up to which all of them are listed, wherever they are: as many as a page has."""


@dataclass(slots=True)
class FullSweep:
    """One that is under way, for as many attempts as it takes: what was listed once is not listed again.

    Attributes:
        began: Drive's time, Unix seconds: what claims to be made later is not looked at, now.
        marks: For each folder, the time (RFC 3339) up to which its messages are done and need no listing.
        foreign: Folders of inboxes that are not what their names say.
        lists: The lists to make, each told by the folders that it names, and decided on when those before are made.
        due: What is left of the one that was begun.
        brought: Folders from which a list that named them has brought something.
        listed: The files that it saw, by ID.
    """

    began: float
    marks: Mapping[str, str]
    foreign: AbstractSet[str]
    lists: Iterator[Sequence[str]] = field(default_factory=lambda: iter(()))
    due: deque[Sequence[str]] = field(default_factory=deque)
    brought: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)

    def begin_next(self) -> bool:
        """Begin the next list, if there is another."""
        self.due.extend(islice(self.lists, 1))
        return bool(self.due)


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
        self._foreign: AbstractSet[str] = set()
        """Folders of inboxes that are not what their names say, and whose files were listed once, to be refused."""
        self._asked_singly: set[str] = set()
        """Folders whose messages were listed by a query that named no other."""
        self._replied_in: deque[Sequence[str]] = deque()
        """Folders that are still to be asked for this account's own replies."""
        self._own: list[DriveFile] = []
        """What the others have shown."""
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
            self._index.add(list(self._list_in(deque([chunk]), f"mimeType = {quote(FOLDER_MIME_TYPE)}", _is_in)))

    def begin(self, marks: Mapping[str, str], began: float) -> FullSweep:
        """Return a sweep that looks into every inbox that is known now.

        Drive sometimes finds nothing, or a part, where a query names several parents
        (https://github.com/rclone/rclone/issues/3114). So what others own is listed as well without naming any, where
        that is no more than a page; else some of the folders are asked singly, other ones each time, those first that
        have brought nothing.

        Args:
            marks: For each folder, the time (RFC 3339) up to which its messages are done.
            began: Drive's time, Unix seconds.
        """
        places = self._index.endpoints()
        foreign = {place.folder_id for place in places if not self._is_genuine(place)}
        sweep = FullSweep(began, marks, foreign)
        sweep.lists = self._lists(sweep, sorted({place.folder_id for place in places} - (foreign & self._foreign)))
        return sweep

    def messages(self, sweep: FullSweep) -> Iterator[DriveFile]:
        """List every message file, those of a hundred endpoint folders at a time, oldest first.

        Where that fails, to call it again goes on with the list that failed.
        """

        def condition(folder: str) -> str:
            if folder not in sweep.marks:
                return _is_in(folder)
            return f"({_is_in(folder)} and createdTime > {quote(sweep.marks[folder])})"

        by_others = self._by_others(sweep.began)
        while sweep.due or sweep.begin_next():
            names_folders = bool(sweep.due[0])
            for file in self._list_in(sweep.due, by_others, condition) if names_folders else self._anywhere(sweep):
                sweep.listed.add(file.id)
                if names_folders:
                    sweep.brought.update(file.parents)
                yield file
        self._foreign = sweep.foreign

    def _lists(self, sweep: FullSweep, folders: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield the folders of each list; none for the one of what others own anywhere."""
        if self._per_query == 1:
            if self._has_few:
                yield _ANYWHERE
            if not self._has_few:
                yield from ([folder] for folder in folders)
            return
        if len(folders) <= _ASKED_SINGLY:
            self._asked_singly.difference_update(folders)
        else:
            yield from _chunks(folders, self._per_query)
            if self._has_few:
                yield _ANYWHERE
            folders = [] if self._has_few else folders
        doubted = sorted(set(folders) - self._asked_singly, key=lambda folder: (folder in sweep.brought, folder))
        for folder in doubted[:_ASKED_SINGLY]:
            yield [folder]
            self._asked_singly.add(folder)

    def lists_of_full(self) -> int:
        """Return about how many lists a full sweep takes now."""
        names_folders = self._per_query > 1 or not self._has_few
        return 2 + (len(self._index.endpoints()) // self._per_query if names_folders else 0)

    def _anywhere(self, sweep: FullSweep) -> Iterator[DriveFile]:
        """List what others own, if that is no more than a page."""
        listed = self._gateway.list_files(f"trashed = false and {self._by_others(sweep.began)}", oldest_first=True)
        files = list(islice(listed, _FEW))
        self._has_few = len(files) < _FEW
        known = sweep.foreign & self._foreign
        yield from (file for file in files if known.isdisjoint(file.parents))
        sweep.due.popleft()

    def own_replies(self) -> Iterator[tuple[DriveFile, Location]]:
        """List this account's own replies, and where they lie: in every known inbox of somebody else.

        One that is left out lets a handler run again, so no query names several folders (:meth:`messages`). Where that
        fails, to call it again goes on with the list that failed.
        """
        outgoing = {location.folder_id: location for location in self._index.endpoints(outgoing=True)}
        if not outgoing:
            return
        kind = f"{quote(self._me)} in owners and mimeType != {quote(FOLDER_MIME_TYPE)}"
        if not self._replied_in:
            self._own = list(islice(self._gateway.list_files(f"trashed = false and {kind}"), _FEW))
            if len(self._own) == _FEW:
                self._replied_in.extend([folder] for folder in outgoing)
        self._own.extend(self._list_in(self._replied_in, kind, _is_in))
        for file in self._own:
            if file.parents and file.parents[0] in outgoing and wire.message_kind(file.name) == "response":
                yield file, outgoing[file.parents[0]]
        self._own = []

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

    def _by_others(self, until: float) -> str:
        return f"mimeType != {quote(FOLDER_MIME_TYPE)} and {_made_by(until)} and not {quote(self._me)} in owners"

    def _list_in(self, due: deque[Sequence[str]], kind: str, condition: Callable[[str], str]) -> Iterator[DriveFile]:
        """List what is in folders, those of one query together; takes each away when its list is complete."""
        while due:
            folders = due[0]
            conditions = " or ".join(condition(folder) for folder in folders)
            try:
                yield from self._gateway.list_files(f"trashed = false and {kind} and ({conditions})", oldest_first=True)
                halves = []
            except NotFoundError:
                # One folder that is gone makes Drive refuse the whole query: halve until it stands alone.
                middle = len(folders) // 2
                halves = [folders[:middle], folders[middle:]] if middle else []
                if not halves:
                    _log.info("inbox folder %s is gone", folders[0])
                    self._index.forget(folders[0])
            due.popleft()
            due.extendleft(reversed(halves))


def _is_in(folder: str) -> str:
    return f"{quote(folder)} in parents"


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _made_by(until: float) -> str:
    """Return the condition that keeps files out of a list that claim to be made later: there may be any number."""
    return f"createdTime <= {quote(wire.timestamp(until + LIST_LAG))}"
