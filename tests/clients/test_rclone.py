"""rclone: what is copied, synchronised, moved and removed."""

from __future__ import annotations

import json
import random
import ssl
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from client_programs import Program

from drive_emulator import DriveEmulator

pytestmark = pytest.mark.clients

ME = "alice@example.com"
LARGE = 20 * 1024 * 1024 + 7  # three pieces of rclone's 8 MiB


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory of what is apt to go wrong: large, empty and nested files, and odd names."""
    top = tmp_path / "files"
    (top / "a" / "deep").mkdir(parents=True)
    (top / "a" / "deep" / "x.txt").write_text("as it was")
    (top / "large.bin").write_bytes(random.Random(1).randbytes(LARGE))
    (top / "ü 'quoted' \\ 雪.txt").write_text("odd")
    (top / "empty").touch()
    return top


def test_what_is_copied_is_there_byte_for_byte(rclone: Program, google: DriveEmulator, files: Path) -> None:
    rclone("copy", str(files), "gd:copy")

    rclone("check", str(files), "gd:copy")
    rclone("check", "--download", str(files), "gd:copy")
    assert google.stats()[ME]["uploads.put"]["calls"] == 3


def test_what_is_copied_comes_back(rclone: Program, files: Path, tmp_path: Path) -> None:
    rclone("copy", str(files), "gd:copy")
    rclone("copy", "gd:copy", str(tmp_path / "back"))

    rclone("check", str(files), str(tmp_path / "back"))


@pytest.mark.parametrize("size", [0, 5, 9 * 1024 * 1024, 16 * 1024 * 1024])
def test_a_stream_of_unknown_length_is_stored(rclone: Program, google: DriveEmulator, size: int) -> None:
    content = random.Random(2).randbytes(size)
    rclone("rcat", "gd:stream", stdin=content)

    assert [file.content for file in google.files()] == [content]


def test_a_directory_is_synchronised(rclone: Program, files: Path) -> None:
    rclone("sync", str(files), "gd:sync")
    (files / "a" / "deep" / "x.txt").write_text("changed")
    (files / "empty").unlink()
    (files / "new").write_text("new")
    rclone("sync", str(files), "gd:sync")

    rclone("check", str(files), "gd:sync")
    assert set(rclone("lsf", "gd:sync").splitlines()) == {"a/", "large.bin", "new", "ü 'quoted' \\ 雪.txt"}


def test_two_sides_that_both_changed_become_one(rclone: Program, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "RCLONE_TEST").touch()
    (here / "first").write_text("1")
    rclone("copy", str(here), "gd:there")
    rclone("bisync", "--resync", str(here), "gd:there", "--workdir", str(tmp_path / "work"))
    (here / "second").write_text("2")
    rclone("rcat", "gd:there/third", stdin=b"3")
    rclone("bisync", str(here), "gd:there", "--workdir", str(tmp_path / "work"))

    rclone("check", str(here), "gd:there")
    assert (here / "third").read_text() == "3"


def test_files_and_directories_move_without_an_upload(rclone: Program, google: DriveEmulator, files: Path) -> None:
    rclone("copy", str(files / "a"), "gd:a")
    google.clear_log()
    rclone("moveto", "gd:a/deep/x.txt", "gd:b/y.txt")
    rclone("move", "gd:b", "gd:c")
    rclone("copyto", "gd:c/y.txt", "gd:c/z.txt")

    assert rclone("cat", "gd:c/z.txt") == rclone("cat", "gd:c/y.txt") == "as it was"
    assert "gd:b" not in rclone("lsf", "gd:")
    assert sum(method["bytes_in"] for method in google.stats()[ME].values()) < 10_000


def test_shortcuts_lead_to_files_and_directories(rclone: Program, files: Path) -> None:
    rclone("copy", str(files / "a"), "gd:a")
    rclone("backend", "shortcut", "gd:", "a/deep/x.txt", "file")
    rclone("backend", "shortcut", "gd:", "a", "directory")

    assert rclone("cat", "gd:file") == "as it was"
    assert rclone("lsf", "-R", "gd:directory").split() == ["deep/", "deep/x.txt"]


def test_names_that_occur_twice_are_made_different(rclone: Program, google: DriveEmulator) -> None:
    for number in range(3):
        rclone("rcat", f"gd:{number}", stdin=b"same" if number else b"other")
    for file in google.files():
        google.alter(file.id, metadata={"name": "twice.txt"})
    rclone("dedupe", "--dedupe-mode", "rename", "gd:")

    assert sorted(rclone("lsf", "gd:").split()) == ["twice-1.txt", "twice-2.txt"]


def test_what_is_deleted_goes_to_the_trash_and_then_for_good(
    rclone: Program, google: DriveEmulator, files: Path
) -> None:
    rclone("copy", str(files / "a"), "gd:a")
    rclone("purge", "gd:a")
    assert rclone("lsf", "gd:") == ""
    assert "Trashed: 9" in rclone("about", "gd:")
    rclone("cleanup", "gd:")

    assert google.files() == []


def test_many_directories_are_listed_at_once(rclone: Program, google: DriveEmulator, tmp_path: Path) -> None:
    for number in range(60):  # rclone asks for 50 parents in one call
        (tmp_path / "many" / str(number)).mkdir(parents=True)
        (tmp_path / "many" / str(number) / "f").write_text(str(number))
    rclone("copy", "--transfers", "16", str(tmp_path / "many"), "gd:many")
    google.clear_log()

    assert len(rclone("lsf", "-R", "--fast-list", "--files-only", "gd:many").split()) == 60
    assert google.stats()[ME]["files.list"]["calls"] < 20
    assert '"count":60' in rclone("size", "--json", "gd:many")


def test_parts_of_a_file_checksums_and_times_are_told(rclone: Program, files: Path) -> None:
    rclone("copy", str(files), "gd:copy")
    rclone("touch", "--timestamp", "2020-02-02T02:02:02", "gd:copy/a/deep/x.txt")

    assert rclone("cat", "--offset", "3", "--count", "2", "gd:copy/a/deep/x.txt") == "it"
    assert rclone("md5sum", "gd:copy/empty").split() == ["d41d8cd98f00b204e9800998ecf8427e", "empty"]
    assert rclone("lsl", "gd:copy/a").split()[1:3] == ["2020-02-02", "02:02:02.000000000"]


def test_what_another_shares_is_found_and_copied(rclone: Program, google: DriveEmulator) -> None:
    file_id = ask(google, "upload/drive/v3/files?uploadType=media", b"Bob's", account="bob@example.com")["id"]
    grant = {"type": "user", "role": "reader", "emailAddress": ME}
    ask(google, f"drive/v3/files/{file_id}/permissions", json.dumps(grant).encode(), account="bob@example.com")
    assert rclone("lsf", "--drive-shared-with-me", "gd:").split() == ["Untitled"]
    rclone("backend", "copyid", "gd:", file_id, "gd:mine.txt")
    rclone("link", "gd:mine.txt")

    (mine,) = (file for file in google.files() if file.name == "mine.txt")
    assert (mine.content, mine.owner, mine.roles["anyoneWithLink"]) == (b"Bob's", ME, "reader")


def ask(google: DriveEmulator, path: str, body: bytes, *, account: str) -> Any:
    headers = {"Authorization": f"Bearer {account}", "Content-Type": "application/json"}
    trusting = ssl.create_default_context(cafile=google.ca_file)
    with urlopen(Request(f"{google.url}/{path}", body, headers), context=trusting) as answer:
        return json.load(answer)


def test_what_is_replaced_is_set_aside_and_what_is_empty_is_removed(rclone: Program, files: Path) -> None:
    rclone("copy", str(files / "a"), "gd:a")
    (files / "a" / "deep" / "x.txt").write_text("changed")
    rclone("sync", str(files / "a"), "gd:a", "--backup-dir", "gd:before", "--suffix", ".old")
    rclone("mkdir", "gd:a/empty/deeper")
    rclone("rmdirs", "gd:a", "--leave-root")

    assert rclone("cat", "gd:before/deep/x.txt.old") == "as it was"
    assert rclone("lsf", "-R", "gd:a").split() == ["deep/", "deep/x.txt"]


def test_a_file_is_deleted_past_the_trash(rclone: Program, google: DriveEmulator) -> None:
    rclone("rcat", "gd:gone", stdin=b"gone")
    rclone("deletefile", "--drive-use-trash=false", "gd:gone")

    assert google.files() == []


def test_the_trash_is_listed_and_given_back(rclone: Program, google: DriveEmulator) -> None:
    rclone("rcat", "gd:file", stdin=b"content")
    rclone("deletefile", "gd:file")
    assert rclone("lsf", "--drive-trashed-only", "gd:").split() == ["file"]
    rclone("backend", "untrash", "gd:")

    assert rclone("cat", "gd:file") == "content"


def test_application_data_is_a_space_of_its_own(rclone: Program, files: Path) -> None:
    rclone("copy", "--drive-root-folder-id", "appDataFolder", str(files / "a"), "gd:a")

    listed = rclone("lsf", "-R", "--drive-root-folder-id", "appDataFolder", "gd:").split()
    assert listed == ["a/", "a/deep/", "a/deep/x.txt"]
    assert rclone("lsf", "gd:") == ""
