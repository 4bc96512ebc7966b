"""The public handle: what a test sees of the whole store, of the calls and of their cost."""

from __future__ import annotations

import gc
import os
import socket
import threading
from contextlib import suppress
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, create, folder, share, start
from googleapiclient.http import MediaInMemoryUpload

import drive_emulator
from drive_emulator import DriveEmulator


def test_the_whole_store_is_seen_whoever_may_see_it(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    body = {"name": "a/b", "parents": [inbox], "properties": {"k": "v"}}
    file = bob.files().create(body=body, media_body=MediaInMemoryUpload(b"body", "text/plain")).execute()["id"]

    seen_folder, seen_file = emulator.files()

    assert (seen_folder.path, seen_folder.size, seen_folder.content) == ("My Drive/inbox", None, None)
    assert (seen_file.id, seen_file.path, seen_file.parent) == (file, "My Drive/inbox/a/b", inbox)
    assert (seen_file.owner, seen_file.mime_type, seen_file.properties) == (BOB, "text/plain", {"k": "v"})
    assert (seen_file.size, seen_file.content, seen_file.trashed) == (4, b"body", False)
    assert seen_file.roles == {BOB: "owner", ALICE: "writer"}
    assert emulator.files(content=False)[1].content is None


def test_calls_units_and_bytes_are_counted_by_account_and_method(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    content = b"x" * 1000
    file = alice.files().create(body={}, media_body=MediaInMemoryUpload(content)).execute()["id"]
    alice.files().get_media(fileId=file).execute()
    bob.changes().list(pageToken=start(bob)).execute()
    with pytest.raises(Exception, match="not found"):
        bob.files().get(fileId=file).execute()

    stats = emulator.stats()

    assert stats[ALICE]["files.create"]["bytes_in"] > 1000
    assert stats[ALICE]["files.get_media"] == {"calls": 1, "units": 200, "errors": 0, "bytes_in": 0, "bytes_out": 1000}
    assert {method: (used["calls"], used["units"], used["errors"]) for method, used in stats[BOB].items()} == {
        "changes.getStartPageToken": (1, 5, 0),
        "changes.list": (1, 100, 0),
        "files.get": (1, 5, 1),
    }


def test_the_log_has_every_request_in_order(emulator: DriveEmulator, alice: Any) -> None:
    file = create(alice, "x")
    alice.files().delete(fileId=file).execute()

    log = emulator.requests()

    assert [(entry["account"], entry["method"], entry["status"]) for entry in log] == [
        (ALICE, "files.create", 200),
        (ALICE, "files.delete", 204),
    ]
    assert log[1]["path"] == f"/drive/v3/files/{file}"
    assert log[0]["time"] <= log[1]["time"]
    emulator.clear_log()
    assert emulator.requests() == []
    assert emulator.stats() == {}


def test_a_reset_forgets_everything_but_the_time(emulator: DriveEmulator, alice: Any) -> None:
    create(alice, "x")
    emulator.add_fault("error")
    emulator.advance(1000)

    emulator.reset()

    assert emulator.files() == []
    assert alice.files().list().execute()["files"] == []


def test_emulators_stand_side_by_side(emulator: DriveEmulator, connect: Any) -> None:
    with DriveEmulator() as other:
        create(connect(ALICE, at=other), "there")
        assert [file.name for file in other.files()] == ["there"]
        assert other.host != emulator.host
        assert other.pid == os.getpid()
    assert emulator.files() == []


def test_the_plugin_offers_an_empty_drive(drive_emulator: DriveEmulator) -> None:
    assert drive_emulator.files() == []


def test_the_public_names() -> None:
    assert drive_emulator.__all__ == ["DriveEmulator", "EmulatorError", "StoredFile"]


def test_connections_that_come_as_it_stops_are_closed() -> None:
    for _ in range(5):
        mine: list[socket.socket] = []
        enough = threading.Event()
        with DriveEmulator() as drive:

            def connect(port: int, mine: list[socket.socket], enough: threading.Event) -> None:
                with suppress(OSError):  # it has stopped
                    while len(mine) < 400:
                        mine.append(socket.create_connection(("127.0.0.1", port), timeout=1))
                        if len(mine) == 20:
                            enough.set()

            thread = threading.Thread(target=connect, args=(drive.port, mine, enough))
            thread.start()
            assert enough.wait(30)
        thread.join()
        for each in mine:
            each.close()
        gc.collect()  # what is left open warns
