"""Lists of many pages: they end, or are a fault."""

from __future__ import annotations

from syft_flwr.errors import ListingError

LIST_LAG = 120.0
"""Seconds by which Drive's lists may trail a write."""
_EMPTY_PAGES = 50
"""Empty pages in a row that a list may have; Drive answers with some where it filters late."""


class Paging:
    """Watches that the pages of one list get on.

    Args:
        method: Name of the API method, for errors.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._seen: set[str] = set()
        self._empty = 0

    def advance(self, page_token: str, *, is_empty: bool) -> None:
        """Note the token of the next page, and whether the last one held nothing.

        Raises:
            ListingError: The token came before, or too many pages in a row were empty.
        """
        if page_token in self._seen:
            raise ListingError(f"{self._method}: Drive's page tokens go in circles")
        self._seen.add(page_token)
        self._empty = self._empty + 1 if is_empty else 0
        if self._empty > _EMPTY_PAGES:
            raise ListingError(f"{self._method}: {self._empty} pages in a row were empty, and there are more")
