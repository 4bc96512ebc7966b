"""The accounts logged in on this machine: a token file each, for its owner's eyes only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from syft_flwr.addresses import fold_address
from syft_flwr.errors import CredentialsError, StateError
from syft_flwr.private import make_private_directory, write_private
from syft_flwr.settings import Endpoint, login_root

_SUFFIX = ".json"


def token_file(endpoint: Endpoint, email: str) -> Path:
    """Return where the account's token is, or would be. It is for one Drive: Google's never goes to an emulator."""
    return _directory(endpoint) / f"{quote(fold_address(email), safe='@+')}{_SUFFIX}"


def logged_in(endpoint: Endpoint) -> list[str]:
    """Return the addresses that have a token, in lower case, sorted."""
    return sorted(unquote(path.name.removesuffix(_SUFFIX)) for path in _directory(endpoint).glob(f"*{_SUFFIX}"))


def save_token(endpoint: Endpoint, email: str, document: Mapping[str, Any]) -> Path:
    """Write the account's token, in place of one that is there, and return its path.

    Raises:
        CredentialsError: It can't be written.
    """
    path = token_file(endpoint, email)
    try:
        write_private(make_private_directory(path.parent) / path.name, json.dumps(document).encode())
    except StateError as error:
        raise CredentialsError(f"can't write the token file: {error}") from error
    except OSError as error:
        raise CredentialsError(f"can't write the token file {path}: {error.strerror}") from error
    return path


def _directory(endpoint: Endpoint) -> Path:
    return login_root() / quote(urlsplit(endpoint.url).netloc)
