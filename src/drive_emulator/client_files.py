"""What clients log in with: token files and OAuth client files, as Google's tools write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_CLIENT = {"client_id": "emulator", "client_secret": "emulator"}


def write_token_file(path: Path, url: str, refresh_token: str) -> Path:
    """Write an authorized-user token file that refreshes at an emulator, for this user alone; return its path."""
    token = {"type": "authorized_user", **_CLIENT, "refresh_token": refresh_token, "token_uri": f"{url}/token"}
    return _write(path, token)


def write_client_file(path: Path, url: str) -> Path:
    """Write an OAuth client file, as the Cloud console offers it, whose endpoints are an emulator's."""
    places = {"auth_uri": f"{url}/o/oauth2/auth", "token_uri": f"{url}/token", "redirect_uris": ["http://localhost"]}
    return _write(path, {"installed": {**_CLIENT, **places}})


def _write(path: Path, document: dict[str, Any]) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        json.dump(document, file)
    return path
