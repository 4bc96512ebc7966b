"""Clients that ask the server what it can do."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from emulator_steps import ALICE, Raw
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.discovery_cache import get_static_doc

from drive_emulator import DriveEmulator, discovery

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "drive_discovery.py"


def test_a_client_is_built_from_what_the_emulator_says_of_itself(emulator: DriveEmulator) -> None:
    url = f"{emulator.url}/discovery/v1/apis/{{api}}/{{apiVersion}}/rest"
    drive = build(
        "drive", "v3", credentials=Credentials(ALICE), discoveryServiceUrl=url, static_discovery=False, num_retries=0
    )
    file = drive.files().create(body={"name": "x"}).execute()
    drive.close()

    assert [stored.id for stored in emulator.files()] == [file["id"]]


def test_it_names_the_host_that_was_asked(raw: Callable[..., Raw]) -> None:
    document = raw(None)("GET", "/$discovery/rest?version=v3", headers={"Host": "localhost:1"}).json

    assert (document["rootUrl"], document["baseUrl"]) == ("http://localhost:1/", "http://localhost:1/drive/v3/")
    assert "mtlsRootUrl" not in document


@pytest.mark.parametrize("protocol", ["simple", "resumable"])
def test_the_paths_of_uploads_that_it_tells_are_there(raw: Callable[..., Raw], protocol: str) -> None:
    methods = raw(None)("GET", "/discovery/v1/apis/drive/v3/rest").json["resources"]["files"]["methods"]
    paths = {name: methods[name]["mediaUpload"]["protocols"][protocol]["path"] for name in ("create", "update")}
    file = raw()("POST", f"{paths['create']}?uploadType=media", b"first").json["id"]

    begun = raw()("PATCH", f"{paths['update'].format(fileId=file)}?uploadType=resumable", {"name": "x"})
    session = urlsplit(begun.headers["Location"])
    assert raw()("PUT", f"{session.path}?{session.query}", b"second").json["name"] == "x"
    assert raw()("GET", f"/drive/v3/files/{file}?alt=media").body == b"second"


def test_it_says_that_it_is_well(raw: Callable[..., Raw]) -> None:
    assert raw(None)("GET", "/health").json == {"status": "ok"}


def test_the_document_is_cut_from_googles() -> None:
    spec = importlib.util.spec_from_file_location("drive_discovery", SCRIPT)
    assert spec
    assert spec.loader
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    theirs = script.cut(json.loads(get_static_doc("drive", "v3")))

    # A newer document may know more; one that knows less means that ours is to be made again.
    assert set(_leaves(discovery.document())) - set(_leaves(theirs)) <= {("revision",)}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [leaf for name, below in value.items() for leaf in _leaves(below, (*path, name))]
