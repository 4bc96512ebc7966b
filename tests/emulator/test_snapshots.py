"""A test starts from a named state."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from emulator_steps import BOB, FILES, Raw, changed, create, folder, found, share, start
from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator

LARGE = bytes(range(256)) * 1000


def test_a_snapshot_brings_everything_back(emulator: DriveEmulator, alice: Any, bob: Any, tmp_path: Path) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    media = MediaInMemoryUpload(LARGE, mimetype="a/b")
    large = alice.files().create(body={"name": "large", "parents": [inbox]}, media_body=media).execute()["id"]
    before, token = emulator.files(), start(bob)
    emulator.save(tmp_path / "state")
    alice.files().delete(fileId=inbox).execute()
    create(bob, "later")
    emulator.load(tmp_path / "state")

    assert emulator.files() == before
    assert bob.files().get_media(fileId=large).execute() == LARGE
    assert found(bob, f"'{inbox}' in parents") == ["large"]
    file = create(bob, "new", inbox)
    assert file in changed(bob, token)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_a_damaged_snapshot_changes_nothing(emulator: DriveEmulator, raw: Callable[..., Raw], tmp_path: Path) -> None:
    alice = raw()
    for number in range(60):
        alice("POST", FILES, {"name": str(number), "description": "x" * 4000})
    emulator.save(tmp_path / "state")
    state = (tmp_path / "state").read_bytes()
    for at in range(4096, len(state), 40_960):
        (tmp_path / "damaged").write_bytes(state[:at] + b"\xff" * 4096 + state[at + 4096 :])

        with pytest.raises(ValueError, match=r"can't be read|damaged"):
            emulator.load(tmp_path / "damaged")
        assert len(emulator.files(content=False)) == 60


def test_a_body_is_kept_in_pieces_of_which_none_is_large(emulator: DriveEmulator, alice: Any, tmp_path: Path) -> None:
    content = LARGE * 4
    file = alice.files().create(body={}, media_body=MediaInMemoryUpload(content, mimetype="a/b")).execute()["id"]
    emulator.save(tmp_path / "state")
    with closing(sqlite3.connect(tmp_path / "state")) as state:
        assert state.execute("SELECT MAX(LENGTH(data)) FROM body").fetchone()[0] < len(content) // 3
    emulator.load(tmp_path / "state")

    assert alice.files().get_media(fileId=file).execute() == content


def test_a_snapshot_is_loaded_by_another_emulator(emulator: DriveEmulator, alice: Any, tmp_path: Path) -> None:
    create(alice, "x")
    emulator.save(tmp_path / "state")
    with DriveEmulator(data=tmp_path / "data") as other:
        other.load(tmp_path / "state")
        assert other.files() == emulator.files()


def test_a_snapshot_that_names_files_of_this_machine_is_refused(
    emulator: DriveEmulator, alice: Any, tmp_path: Path
) -> None:
    create(alice, "x")
    emulator.save(tmp_path / "state")
    with closing(sqlite3.connect(tmp_path / "state")) as state:
        state.execute("UPDATE file SET blob = 'fs:../../etc/passwd' WHERE name = 'x'")
        state.commit()

    with pytest.raises(ValueError, match="not its own"):
        emulator.load(tmp_path / "state")


def test_what_is_no_snapshot_changes_nothing(emulator: DriveEmulator, alice: Any, tmp_path: Path) -> None:
    create(alice, "x")
    (tmp_path / "junk").write_text("junk" * 1000)
    (tmp_path / "empty").touch()
    for name in ("junk", "empty", "missing"):
        with pytest.raises(ValueError, match="snapshot"):
            emulator.load(tmp_path / name)
    with pytest.raises(ValueError, match="can't be written"):
        emulator.save(tmp_path / "nowhere" / "state")

    assert [file.name for file in emulator.files()] == ["x"]
