"""The other participants, as the inboxes that an account shares with them show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from syft_flwr.addresses import fold_address, same_address
from syft_flwr.drive.query import quote
from syft_flwr.ports import DriveGateway
from syft_flwr.printable import printable
from syft_flwr.resources import FOLDER_MIME_TYPE, DriveFile
from syft_flwr.wire import INBOX_PREFIX, parse_inbox_root

_LONGEST = 700
"""Characters of a name: two addresses may have 320 each."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """The root folder of an inbox.

    Attributes:
        outgoing: Whether it is for messages to the peer; else for messages from them.
        is_mine: Whether this account owns it.
        is_foreign: Whether it is a stranger's, who has given it this name or owns it: nothing in it counts.
        is_open: Whether the other party may write into it: the peer into one of ours, we into one of theirs.
    """

    id: str
    name: str
    outgoing: bool
    is_mine: bool
    is_foreign: bool
    is_open: bool

    @property
    def trouble(self) -> str:
        """What is wrong with it, in words; empty when nothing is."""
        if self.is_foreign:
            return "a stranger's, and not used"
        if self.is_open:
            return ""
        return "is shared with nobody" if self.is_mine else "can only be viewed from here"


@dataclass(frozen=True, slots=True)
class Peer:
    """A participant, and the inboxes with them that this account can see."""

    email: str
    inboxes: tuple[Inbox, ...]


def find_peers(gateway: DriveGateway, me: str) -> list[Peer]:
    """Return every participant with whom the account has an inbox; 100 quota units, and 5 for each inbox.

    Addresses and names are printable: anybody may share a folder of any name.
    """
    query = (
        f"name contains {quote(INBOX_PREFIX.rstrip('_'))} and mimeType = {quote(FOLDER_MIME_TYPE)} and trashed = false"
    )
    names: dict[str, str] = {}
    found: defaultdict[str, list[Inbox]] = defaultdict(list)
    for folder in gateway.list_files(query):
        parties = parse_inbox_root(folder.name, me)
        if parties is None:
            continue
        outgoing = same_address(parties.sender, me)
        email = parties.recipient if outgoing else parties.sender
        is_foreign = not _is_between(folder, (me, email))
        is_open = not is_foreign and _is_open(gateway, folder)
        key = fold_address(email)
        names.setdefault(key, printable(email, _LONGEST))
        found[key].append(
            Inbox(folder.id, printable(folder.name, _LONGEST), outgoing, folder.owned_by_me, is_foreign, is_open)
        )
    return [Peer(names[key], tuple(found[key])) for key in sorted(found)]


def _is_between(folder: DriveFile, parties: tuple[str, str]) -> bool:
    """Tell whether Drive attests that a folder belongs to one of the parties, and was named by one of them."""
    if not (folder.owners or folder.drive_id):
        return False
    users = (*folder.owners, folder.last_modifying_user or "")
    return all(any(same_address(user, party) for party in parties) for user in users)


def _is_open(gateway: DriveGateway, folder: DriveFile) -> bool:
    access = gateway.access(folder.id)
    return access.writers is None or len(access.writers) > 1 if folder.owned_by_me else access.can_write
