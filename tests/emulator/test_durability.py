"""What was acknowledged survives a kill, and a restart goes on where it was."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from emulator_steps import ALICE, BOB, FILES, FOLDER, Raw

from drive_emulator import DriveEmulator, EmulatorError
from drive_emulator.blobs import INLINE_LIMIT
from drive_emulator.storage import Database

UPLOAD = f"/upload{FILES}?uploadType=multipart&fields=id,sha256Checksum"
MULTIPART = {"Content-Type": "multipart/related; boundary=b"}


def upload(raw: Raw, name: str, parent: str, content: bytes) -> dict[str, str]:
    body = b'--b\r\n\r\n{"name": "%s", "parents": ["%s"]}\r\n--b\r\n\r\n%s\r\n--b--'
    answer = raw("POST", UPLOAD, body % (name.encode(), parent.encode(), content), MULTIPART)
    assert answer.status == 200
    return answer.json


def follow(raw: Raw, token: str) -> list[str]:
    seen = []
    while True:
        page = raw("GET", f"/drive/v3/changes?pageToken={token}&pageSize=1000").json
        seen += [change["fileId"] for change in page["changes"]]
        if "newStartPageToken" in page:
            return seen
        token = page["nextPageToken"]


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with DriveEmulator(data=tmp_path) as first:
        alice = Raw(first.port, ALICE)
        folder = alice("POST", FILES, {"name": "inbox", "mimeType": FOLDER}).json["id"]
        alice("POST", f"{FILES}/{folder}/permissions", {"type": "user", "role": "writer", "emailAddress": BOB})
        token = alice("GET", "/drive/v3/changes/startPageToken").json["startPageToken"]
        made = [upload(alice, str(size), folder, b"x" * size)["id"] for size in (0, 10, 100_000)]
        before = first.files()
        alice.close()

    with DriveEmulator(data=tmp_path) as second:
        alice, bob = Raw(second.port, ALICE), Raw(second.port, BOB)
        assert second.files() == before
        assert follow(alice, token) == made
        assert bob("GET", f"{FILES}/{made[2]}?alt=media").body == b"x" * 100_000
        later = upload(alice, "later", folder, b"")["id"]
        assert follow(alice, token) == [*made, later]
        alice.close()
        bob.close()


def test_data_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    with DriveEmulator(data=tmp_path) as first:
        alice = Raw(first.port, ALICE)
        token = alice("GET", "/drive/v3/changes/startPageToken").json["startPageToken"]
        folder = alice("POST", FILES, {"name": "inbox", "mimeType": FOLDER}).json["id"]
        alice("POST", f"{FILES}/{folder}/permissions", {"type": "user", "role": "writer", "emailAddress": BOB})
        before, feed = first.files(), follow(alice, token)
        alice.close()
    with closing(sqlite3.connect(tmp_path / "drive.sqlite3")) as data:
        (table,) = data.execute("SELECT sql FROM sqlite_master WHERE name = 'view'").fetchone()
        by_account = table.replace("app TEXT,", "").replace("(file_id, account)", "(account, file_id)")
        data.executescript(
            "DROP INDEX permission_expiry; ALTER TABLE permission DROP COLUMN expires;"
            f"ALTER TABLE view RENAME TO newer; {by_account};"
            "INSERT INTO view SELECT account, file_id, role, seq, time, starred, viewed, modified, shared_at, shared_by"
            " FROM newer; DROP TABLE newer;"
            "CREATE INDEX view_feed ON view (account, seq); CREATE INDEX view_file ON view (file_id);"
        )

    with DriveEmulator(data=tmp_path) as second:
        alice, bob = Raw(second.port, ALICE), Raw(second.port, BOB)
        assert second.files() == before
        assert follow(alice, token) == feed
        later = upload(bob, "later", folder, b"")["id"]
        assert follow(alice, token) == [*feed, later]
        alice.close()
        bob.close()


@pytest.mark.parametrize("kill_after", [5, 40])
def test_a_kill_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path, kill_after: int) -> None:
    drive = DriveEmulator(data=tmp_path, process=True).start()
    alice = Raw(drive.port, ALICE)
    folder = alice("POST", FILES, {"name": "inbox", "mimeType": FOLDER}).json["id"]
    alice("POST", f"{FILES}/{folder}/permissions", {"type": "user", "role": "writer", "emailAddress": BOB})
    token = alice("GET", "/drive/v3/changes/startPageToken").json["startPageToken"]
    alice.close()
    acknowledged: dict[str, tuple[str, bytes]] = {}
    enough = threading.Event()

    def write(writer: int) -> None:
        raw = Raw(drive.port, ALICE)
        try:
            for number in range(10_000):
                name = f"{writer}-{number}"
                content = name.encode() * (1 if number % 3 else 40_000)
                acknowledged[upload(raw, name, folder, content)["id"]] = (name, content)
                if len(acknowledged) >= kill_after:
                    enough.set()
        except (OSError, ValueError):
            pass
        except Exception:
            enough.set()
        finally:
            raw.close()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    drive.kill()
    for writer in writers:
        writer.join(30)

    with DriveEmulator(data=tmp_path) as again:
        stored = {file.id: file for file in again.files()}
        for file_id, (name, content) in acknowledged.items():
            assert stored[file_id].name == name
            assert stored[file_id].content == content
        for email in (ALICE, BOB):
            raw = Raw(again.port, email)
            seen = follow(raw, token if email == ALICE else "1")
            assert set(seen) - {folder} == stored.keys() - {folder}
            raw.close()
        alice = Raw(again.port, ALICE)
        shown = alice("GET", f"{FILES}?pageSize=1000&fields=files(id,sha256Checksum)").json["files"]
        sums = {file["id"]: file.get("sha256Checksum") for file in shown}
        assert all(sums[i] == hashlib.sha256(content).hexdigest() for i, (_, content) in acknowledged.items())
        alice.close()
        blobs = {path.name for path in (tmp_path / "blobs").iterdir()}
        assert len(blobs) == sum(file.size is not None and file.size > 64 * 1024 for file in stored.values())


def test_a_full_disk_is_told_and_what_was_read_meanwhile_forgotten(tmp_path: Path) -> None:
    database = Database(tmp_path / "drive.sqlite3")
    forgotten: list[str] = []
    database.on_rollback(lambda: forgotten.append("read"))
    database.execute("PRAGMA max_page_count = 1")  # the pages that there are

    with pytest.raises(sqlite3.OperationalError, match="full"), database.transaction():
        database.execute("INSERT INTO blob VALUES ('db:x', ?)", bytes(INLINE_LIMIT))

    assert forgotten == ["read"]
    assert database.rows("SELECT * FROM blob") == []
    database.close()


def test_two_emulators_do_not_share_a_directory(tmp_path: Path) -> None:
    with DriveEmulator(data=tmp_path) as first:
        raw = Raw(first.port, ALICE)
        raw("POST", FILES, {})
        raw.close()
        with pytest.raises(EmulatorError, match="another emulator"):
            DriveEmulator(data=tmp_path).start()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drive.sqlite3").write_text("this is no database, but it is long enough to be taken for one" * 50)

    with pytest.raises(EmulatorError, match="not a database"):
        DriveEmulator(data=tmp_path).start()


def test_the_directory_is_private(tmp_path: Path) -> None:
    with DriveEmulator(data=tmp_path / "new"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "new" / "drive.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_reset_empties_the_directory_and_page_tokens_go_on_rising(tmp_path: Path) -> None:
    with DriveEmulator(data=tmp_path) as drive:
        alice = Raw(drive.port, ALICE)
        upload(alice, "x", "root", b"x" * 100_000)
        token = alice("GET", "/drive/v3/changes/startPageToken").json["startPageToken"]

        drive.reset()

        assert drive.files() == []
        assert drive.stats() == {}
        assert list((tmp_path / "blobs").iterdir()) == []
        made = upload(alice, "y", "root", b"")["id"]
        assert follow(alice, token) == [made]
        alice.close()


def test_data_and_snapshots_of_an_older_emulator_are_read(tmp_path: Path) -> None:
    older = """
        DROP INDEX view_app; ALTER TABLE view DROP COLUMN app;
        DROP INDEX permission_expiry; ALTER TABLE permission DROP COLUMN expires;
        ALTER TABLE upload DROP COLUMN client;
        ALTER TABLE file ADD COLUMN trashed_time INTEGER; CREATE TABLE meta (key TEXT PRIMARY KEY, value);
    """
    with DriveEmulator(data=tmp_path / "data") as first:
        alice = Raw(first.port, ALICE)
        file = alice("POST", FILES, {"name": "old"}).json["id"]
        alice("POST", f"{FILES}/{file}/permissions", {"type": "user", "role": "reader", "emailAddress": BOB})
        alice.close()
        first.save(tmp_path / "state")
    for path in (tmp_path / "data" / "drive.sqlite3", tmp_path / "state"):
        with closing(sqlite3.connect(path)) as database:
            database.executescript(older)
            database.commit()
    with DriveEmulator(data=tmp_path / "data") as second:
        assert [(stored.name, stored.roles[BOB]) for stored in second.files()] == [("old", "reader")]
        second.load(tmp_path / "state")
        assert [(stored.name, stored.roles[BOB]) for stored in second.files()] == [("old", "reader")]


@pytest.mark.parametrize("is_kept", [True, False], ids=["in a directory", "in memory"])
def test_large_bodies_are_synced_where_a_restart_would_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with DriveEmulator(data=tmp_path if is_kept else None) as drive, closing(Raw(drive.port, ALICE)) as alice:
        upload(alice, "large", "root", bytes(2 * INLINE_LIMIT))
    assert len(synced) == is_kept
