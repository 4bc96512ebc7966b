"""Drive's spaces: what everybody knows as Drive, and one hidden folder for each OAuth client of an account.

https://developers.google.com/workspace/drive/api/guides/appdata
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from drive_emulator.errors import ApiError, forbidden, invalid
from drive_emulator.model import APP_DATA, DRIVE, Account


def parse_spaces(account: Account, text: str) -> frozenset[str]:
    """Read a list of spaces, all of which the caller's token must cover.

    Raises:
        ApiError: 400 for a space that there is not, 403 for one that the token's scopes don't cover.
    """
    spaces = frozenset(part.strip() for part in text.split(","))
    if not spaces <= {DRIVE, APP_DATA}:
        raise invalid("spaces")
    require_spaces(account, spaces)
    return spaces


def require_spaces(account: Account, spaces: Collection[str]) -> None:
    if not account.spaces.issuperset(spaces):
        message = "The granted scopes do not give access to all of the requested spaces."
        raise ApiError(403, "insufficientScopes", message, location="spaces")


def spaces_condition(account: Account, spaces: Collection[str]) -> tuple[str, list[Any]]:
    """Return the condition, and its values, of a view ``v`` that shows a file in one of the spaces."""
    if APP_DATA not in spaces:
        return "v.app IS NULL", []
    return ("(v.app IS NULL OR v.app = ?)" if DRIVE in spaces else "v.app = ?"), [account.client]


def not_for_app_data(message: str = "Method not supported for files within the Application Data folder.") -> ApiError:
    return forbidden("notSupportedForAppDataFolderFiles", message)
