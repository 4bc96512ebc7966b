"""A client that knows nothing of the emulator: gdrive-fsspec, unmodified, believes to talk to Google."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gdrive_fsspec
import google_auth_httplib2
import httplib2
import pytest
from emulator_steps import ALICE
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from drive_emulator import DriveEmulator


class Detour(httplib2.Http):
    """Carries to the emulator what is meant for Google, as a proxy would."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.redirect_codes = self.redirect_codes - {308}

    def request(self, uri: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(uri.replace("https://www.googleapis.com", self.url), *args, **kwargs)


@pytest.fixture
def file_system(emulator: DriveEmulator) -> Iterator[gdrive_fsspec.GoogleDriveFileSystem]:
    file_system = gdrive_fsspec.GoogleDriveFileSystem(token="anon", skip_instance_cache=True)
    file_system.srv.close()
    http = google_auth_httplib2.AuthorizedHttp(Credentials(ALICE), http=Detour(emulator.url))
    file_system.srv = build("drive", "v3", http=http)
    file_system.files = file_system.srv.files()
    yield file_system
    file_system.srv.close()


@pytest.mark.parametrize("size", [5, 12 * 1024 * 1024], ids=["at once", "in pieces"])
def test_gdrive_fsspec_uploads_lists_downloads_and_deletes(
    emulator: DriveEmulator, file_system: gdrive_fsspec.GoogleDriveFileSystem, size: int
) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    file_system.mkdir("data")
    file_system.mkdir("data/2026")
    with file_system.open("data/2026/values.bin", "wb") as file:
        file.write(content)
    assert [(file.path, file.content) for file in emulator.files()][2:] == [("My Drive/data/2026/values.bin", content)]

    file_system.invalidate_cache()
    assert file_system.ls("data") == ["data/2026"]
    assert file_system.ls("data/2026") == ["data/2026/values.bin"]
    assert file_system.info("data/2026/values.bin")["size"] == size
    with file_system.open("data/2026/values.bin", "rb") as file:
        file.seek(size - 3)
        assert file.read() == content[-3:]
        file.seek(0)
        assert file.read() == content

    file_system.rm("data/2026/values.bin")
    file_system.rm("data")
    assert emulator.files() == []
