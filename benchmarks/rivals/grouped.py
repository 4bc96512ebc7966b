"""Polling with one OR-ed list of all known folders, which is the best that listing can do.

Folders of new senders are looked for every thirtieth poll, a minute at two seconds. Drive sometimes answers such a list
with a part of what is there and does not say so; this rival does without the calls that would guard against it.
"""

from __future__ import annotations

from typing import Any

from benchmarks.rivals.drive import INBOXES, PlainDrive
from benchmarks.rivals.listing import ListingEvents, ListingRpc

TOGETHER = 50
"""Parents in one query; Drive takes dozens."""

LEARN_EVERY = 30


def find_in(drive: PlainDrive, folders: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for start in range(0, len(folders), TOGETHER):
        found += drive.find(" or ".join(f"'{folder}' in parents" for folder in folders[start : start + TOGETHER]))
    return found


class GroupedRpc(ListingRpc):
    """Looks for all outstanding replies with one list."""

    def look(self) -> dict[str, bytes]:
        folders: set[str] = set()
        for peer, app, endpoint in set(self.futures.values()):
            folder = self._reply_folder(peer, app, endpoint)
            if folder is not None:
                folders.add(folder)
        found = {file["name"].removesuffix(".response"): file["id"] for file in find_in(self.drive, sorted(folders))}
        return {future: self.drive.read(found[future]) for future in self.futures if future in found}

    def _reply_folder(self, peer: str, app: str, endpoint: str) -> str | None:
        if (peer, app, endpoint) not in self._places:
            roots = self.drive.find(f"name='syft_outbox_inbox_{peer}_to_{self.drive.email}'")
            folder = self.drive.below(roots[0]["id"], app, "rpc", endpoint) if roots else None
            if folder is None:
                return None
            self._places[peer, app, endpoint] = folder
        return self._places[peer, app, endpoint]

    def __init__(self, host: str, email: str) -> None:
        super().__init__(host, email)
        self._places: dict[tuple[str, str, str], str] = {}


class GroupedEvents(ListingEvents):
    """Looks into all known inboxes with one list."""

    def __init__(self, host: str, app: str, email: str, poll_interval: float = 2.0) -> None:
        super().__init__(host, app, email, poll_interval)
        self._places: dict[str, tuple[str, str]] = {}
        self._polls = 0

    def poll_once(self) -> None:
        if self._polls % LEARN_EVERY == 0:
            self.learn()
        self._polls += 1
        self.look()

    def look(self) -> None:
        for file in find_in(self.drive, sorted(self._places)):
            for parent in file["parents"]:
                self._answer([file], *self._places[parent])

    def learn(self) -> None:
        for inbox in self.drive.find(INBOXES):
            for sender in self._senders([inbox]):
                for endpoint in self._handlers:
                    folder = self.drive.below(inbox["id"], self._app, "rpc", endpoint)
                    if folder is not None:
                        self._places[folder] = (sender, endpoint)
