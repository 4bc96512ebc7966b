"""Facts about Drive, each confirmed by the emulator and, where logins are given, by Google Drive.

A test's ID says who confirmed it. Everything is made in folders of one folder, which is deleted in the end.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from drive_world import FOLDER, Account, World
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from real_drive import COSTS, TOKENS

from drive_emulator import DriveEmulator


def account(root: str, credentials: Credentials, *, lags: bool) -> Account:
    document = json.loads(get_static_doc("drive", "v3"))
    document |= {"rootUrl": f"{root}/", "baseUrl": f"{root}/drive/v3/"}
    document.pop("mtlsRootUrl", None)
    client = build_from_document(document, credentials=credentials)
    email = client.about().get(fields="user").execute()["user"]["emailAddress"]
    return Account(client, root, email, lags)


@pytest.fixture(scope="session", params=["emulator", "Google Drive"] if TOKENS else ["emulator"])
def accounts(request: pytest.FixtureRequest) -> Iterator[tuple[Account, Account]]:
    with ExitStack() as opened:
        if request.param == "emulator":
            emulator = opened.enter_context(DriveEmulator())
            logins = [Credentials(email) for email in ("me@example.com", "you@example.com")]
            mine, yours = (account(emulator.url, login, lags=False) for login in logins)
            opened.callback(COSTS["facts"].check, emulator)
        else:
            logins = [Credentials.from_authorized_user_file(path) for path in TOKENS]
            mine, yours = (account("https://www.googleapis.com", login, lags=True) for login in logins)
        for one in (mine, yours):
            opened.enter_context(closing(one.client))
        yield mine, yours


@pytest.fixture(scope="session")
def everything(accounts: tuple[Account, Account]) -> Iterator[str]:
    """The folder that all is made in."""
    mine, _ = accounts
    body: dict[str, Any] = {"name": f"drive-facts-{uuid.uuid4()}", "mimeType": FOLDER}
    folder = mine.files.create(body=body, fields="id").execute()["id"]
    yield folder
    mine.files.delete(fileId=folder).execute()


@pytest.fixture
def world(accounts: tuple[Account, Account], everything: str) -> Iterator[World]:
    mine, yours = accounts
    world = World(mine, yours, mine.folder("test", everything))
    yield world
    for file_id in world.also:
        yours.files.delete(fileId=file_id).execute()
