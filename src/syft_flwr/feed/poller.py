"""Follow the change feed: fetch a page, commit it with its token, then pass it on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from syft_flwr.drive.folders import FolderIndex
from syft_flwr.models import ChangePage, DriveFile
from syft_flwr.ports import DriveGateway
from syft_flwr.state.ledger import Ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll brought."""

    changes: int
    pages: int


class ChangePoller:
    """Reads the feed from this process's own token on. Not thread-safe: one caller at a time.

    The token in the ledger is where a *later* process goes on; it is moved in the transaction that journals the
    page. This process reads on from its own copy, so it sees every change even when another process of the
    account moves the ledger's token further.

    Args:
        gateway: The account's Drive.
        folders: Learns of each page's folders before the page is committed; to learn twice does no harm.
        ledger: The journal.
        emit: Called with each page after its commit, and with the unfinished candidates on it.
    """

    def __init__(
        self,
        gateway: DriveGateway,
        folders: FolderIndex,
        ledger: Ledger,
        emit: Callable[[ChangePage, list[DriveFile]], None],
    ) -> None:
        self._gateway = gateway
        self._folders = folders
        self._ledger = ledger
        self._emit = emit
        self._token: str | None = None

    def resume(self) -> bool:
        """Go on from the ledger's token; ``False`` when there is none yet."""
        self._token = self._ledger.cursor()
        return self._token is not None

    @property
    def token(self) -> str | None:
        """What the next poll begins with; ``None`` before the first of :meth:`resume` and :meth:`restart`."""
        return self._token

    def follow_from(self, token: str) -> None:
        """Go on from a token whose Drive is a recording."""
        self._token = token

    def restart(self) -> None:
        """Obtain a new start token. A sweep must follow, and only then is nothing lost."""
        token = self._gateway.get_start_page_token()
        self._ledger.restart_cursor(token)
        self._token = token
        _log.info("following the change feed from a new start token")

    def poll(self) -> Poll:
        """Follow the feed to its end: one ``changes.list``, plus one for each further page.

        Raises:
            PageTokenRejectedError: Drive no longer takes the token; :meth:`restart` is next.
            DriveError: Any other failure; the token is kept, and the next poll goes on from it.
        """
        assert self._token is not None, "resume() or restart() first"  # noqa: S101 - a caller's mistake, not input
        changes = pages = 0
        while True:
            page = self._gateway.list_changes(self._token)
            self._folders.observe(page.changes)
            unfinished = self._ledger.commit(self._token, page)
            self._token = page.next_page_token or page.new_start_page_token or self._token
            changes += len(page.changes)
            pages += 1
            self._emit(page, unfinished)
            if page.next_page_token is None:
                return Poll(changes, pages)
