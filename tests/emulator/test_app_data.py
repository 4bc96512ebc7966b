"""The application data folder: a space of its own for each OAuth client of an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, changed, create, found, get, refusal, start

from drive_emulator import DriveEmulator

SPACE = "appDataFolder"


@pytest.fixture
def app(emulator: DriveEmulator, connect: Callable[..., Any]) -> Any:
    """A client of Alice's that has its own data, and nothing else."""
    return connect(emulator.access_token(ALICE, "drive.appdata"))


def test_what_lies_in_the_application_data_folder_is_in_no_other_space(
    emulator: DriveEmulator, alice: Any, app: Any
) -> None:
    create(alice, "in Drive")
    kept = create(app, "settings", SPACE)

    assert found(app, "", spaces=SPACE) == found(app, f"'{SPACE}' in parents", spaces=SPACE) == ["settings"]
    assert found(alice, "") == ["in Drive"]
    assert get(app, kept)["spaces"] == [SPACE]
    assert get(app, kept)["parents"] == [get(app, SPACE)["id"]]
    assert get(alice, create(alice, "x"))["spaces"] == ["drive"]
    assert [file.path for file in emulator.files()] == [
        "My Drive/in Drive",
        "Application Data/settings",
        "My Drive/x",
    ]


def test_each_client_and_each_account_has_a_folder_of_its_own(
    emulator: DriveEmulator, connect: Callable[..., Any], app: Any
) -> None:
    kept = create(app, "settings", SPACE)
    other = connect(emulator.access_token(ALICE, "drive.appdata", "drive", client="other"))
    bob = connect(emulator.access_token(BOB, "drive.appdata"))

    for stranger in (other, bob):
        assert found(stranger, "", spaces=SPACE) == []
        assert refusal(stranger.files().get(fileId=kept)) == (404, "notFound")
    assert found(other, "", spaces=f"drive,{SPACE}") == []
    create(other, "of the other", SPACE)
    create(other, "in Drive")
    assert found(other, "", spaces=f"drive,{SPACE}", orderBy="name") == ["in Drive", "of the other"]


def test_the_feed_of_a_space_tells_of_that_space_alone(alice: Any) -> None:
    token = start(alice)
    kept, plain = create(alice, "settings", SPACE), create(alice, "in Drive")
    alice.files().delete(fileId=kept).execute()
    fresh = create(alice, "fresh", SPACE)

    assert changed(alice, token) == [plain]
    of_app = alice.changes().list(pageToken=token, spaces=SPACE).execute()["changes"]
    assert [(change["fileId"], change["removed"]) for change in of_app] == [(kept, True), (fresh, False)]


def test_a_token_opens_the_spaces_of_its_scopes(emulator: DriveEmulator, connect: Callable[..., Any], app: Any) -> None:
    plain = connect(emulator.access_token(ALICE, "drive"))

    by_its_old_name = connect(emulator.access_token(ALICE, "drive.appfolder"))
    assert found(by_its_old_name, "", spaces=SPACE) == []
    assert refusal(app.files().list()) == (403, "insufficientScopes")
    assert refusal(app.files().get(fileId="root")) == (404, "notFound")
    assert refusal(plain.files().list(spaces=SPACE)) == (403, "insufficientScopes")
    assert refusal(plain.files().create(body={"name": "x", "parents": [SPACE]})) == (403, "insufficientScopes")
    assert refusal(plain.files().list(spaces="photos")) == (400, "invalid")


def test_application_data_is_neither_shared_nor_moved_nor_trashed(alice: Any) -> None:
    kept, plain = create(alice, "settings", SPACE), create(alice, "in Drive")
    files, anyone = alice.files(), {"type": "anyone", "role": "reader"}

    for call in (
        alice.permissions().create(fileId=kept, body=anyone),
        files.update(fileId=kept, addParents="root", removeParents=SPACE),
        files.update(fileId=kept, removeParents=SPACE),
        files.update(fileId=plain, addParents=SPACE, removeParents="root"),
        files.update(fileId=kept, body={"trashed": True}),
    ):
        assert refusal(call) == (403, "notSupportedForAppDataFolderFiles")
    files.update(fileId=kept, body={"name": "renamed"}).execute()
    assert found(alice, "name = 'renamed'", spaces=SPACE) == ["renamed"]


def test_application_data_has_content_copies_and_reserved_ids(raw: Callable[..., Raw], alice: Any) -> None:
    reserved = alice.files().generateIds(count=1, space=SPACE).execute()
    assert reserved["space"] == SPACE
    create(alice, "settings", SPACE, id=reserved["ids"][0])
    copied = alice.files().copy(fileId=reserved["ids"][0], body={}, fields="spaces,name").execute()

    assert copied == {"spaces": [SPACE], "name": "Copy of settings"}
    assert raw(ALICE)("GET", f"{FILES}/{reserved['ids'][0]}?alt=media").body == b""


def test_an_upload_that_goes_on_without_a_token_belongs_to_the_client_that_began_it(
    emulator: DriveEmulator, raw: Callable[..., Raw]
) -> None:
    for scope, parents in (("drive.appdata", ["appDataFolder"]), ("drive.file", ["root"])):
        app = raw(emulator.access_token(ALICE, scope, client="app"))
        begun = app("POST", f"/upload{FILES}?uploadType=resumable", {"name": scope, "parents": parents})
        session = urlsplit(begun.headers["Location"])

        file = raw(None)("PUT", f"{session.path}?{session.query}", b"content").json["id"]

        assert app("GET", f"{FILES}/{file}?alt=media").body == b"content"


def test_application_data_is_saved_and_loaded(emulator: DriveEmulator, alice: Any, tmp_path: Any) -> None:
    create(alice, "settings", SPACE)
    emulator.save(tmp_path / "state")
    emulator.reset()
    assert found(alice, "", spaces=SPACE) == []
    emulator.load(tmp_path / "state")

    assert found(alice, "", spaces=SPACE) == ["settings"]
