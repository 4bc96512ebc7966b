"""The accounts logged in on this machine: a token file each, for its owner's eyes only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from syft_flwr.errors import CredentialsError
from syft_flwr.settings import Endpoint, login_root

_SUFFIX = ".json"


def token_file(endpoint: Endpoint, email: str) -> Path:
    """Return where the account's token is, or would be. It is for one Drive: Google's never goes to an emulator."""
    return _directory(endpoint) / f"{quote(email.lower(), safe='@+')}{_SUFFIX}"


def logged_in(endpoint: Endpoint) -> list[str]:
    """Return the addresses that have a token, in lower case, sorted."""
    return sorted(unquote(path.name.removesuffix(_SUFFIX)) for path in _directory(endpoint).glob(f"*{_SUFFIX}"))


def save_token(endpoint: Endpoint, email: str, document: Mapping[str, Any]) -> Path:
    """Write the account's token, in place of one that is there, and return its path.

    Raises:
        CredentialsError: It can't be written.
    """
    path = token_file(endpoint, email)
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
        temporary.replace(path)
    except OSError as error:
        raise CredentialsError(f"can't write the token file {path}: {error.strerror}") from error
    return path


def _directory(endpoint: Endpoint) -> Path:
    return login_root() / quote(urlsplit(endpoint.url).netloc)
