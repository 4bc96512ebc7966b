"""What every DriveGateway must do, over HTTP: against the emulator and, where logins are given, against real Drive.

Each test makes everything in a folder of its own, and deletes it in the end.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_drive import COSTS, TOKENS

from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import (
    DriveError,
    NotFoundError,
    PageTokenRejectedError,
    PermissionDeniedError,
    RuntimeClosedError,
    TransferError,
)
from syft_flwr.inline import split
from syft_flwr.ports import DriveGateway
from syft_flwr.resources import DriveFile
from syft_flwr.settings import GOOGLE_URL, Endpoint
from syft_flwr.testing import DriveEmulator

WORLDS = ["emulator", "real"] if TOKENS else ["emulator"]


@dataclass
class World:
    """Two accounts; ``folder`` is mine, and not shared."""

    mine: DriveGateway
    yours: DriveGateway
    folder: str

    def new_id(self) -> str:
        (file_id,) = self.mine.generate_ids(1)
        return file_id

    def upload(self, body: bytes | Path = b"body", *, name: str = "name", parent: str | None = None) -> str:
        file_id = self.new_id()
        self.mine.upload(file_id, name, parent or self.folder, body)
        return file_id

    def share(self) -> str:
        """Make a folder of mine that both may write to."""
        folder = self.mine.create_folder(self.new_id(), "shared", self.folder)
        self.mine.share(folder.id, self.yours.about().email)
        return folder.id

    def changes(self, gateway: DriveGateway, token: str) -> tuple[dict[str, DriveFile | None], str]:
        """Follow the feed to its end: the newest state by ID, ``None`` for tombstones, and the next token."""
        found: dict[str, DriveFile | None] = {}
        while True:
            page = gateway.list_changes(token)
            found |= {change.file_id: change.file for change in page.changes}
            if page.new_start_page_token:
                return found, page.new_start_page_token
            assert page.next_page_token
            token = page.next_page_token


@pytest.fixture(scope="module", params=WORLDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[[], HttpDriveGateway], ...]]:
    if request.param == "real":
        endpoints = [Endpoint(GOOGLE_URL, Path(path), is_emulator=False) for path in TOKENS]
        yield tuple(lambda e=endpoint: HttpDriveGateway(e, load_credentials(e, "")) for endpoint in endpoints)
    else:
        with DriveEmulator() as emulator:
            endpoint = Endpoint(emulator.url, None, is_emulator=True)
            yield tuple(
                lambda email=email: HttpDriveGateway(endpoint, load_credentials(endpoint, email))
                for email in ("me@example.com", "you@example.com")
            )
            COSTS["gateway contract"].check(emulator)


@pytest.fixture
def world(pair: tuple[Callable[[], HttpDriveGateway], ...]) -> Iterator[World]:
    mine, yours = (make() for make in pair)
    (folder,) = mine.generate_ids(1)
    mine.create_folder(folder, f"gateway-contract-{uuid.uuid4()}", None)
    yield World(mine, yours, folder)
    mine.delete(folder)
    mine.close()
    yours.close()


def test_two_accounts_are_told_apart(world: World) -> None:
    mine, yours = world.mine.about(), world.yours.about()
    assert mine.email != yours.email
    assert mine.permission_id
    assert mine.permission_id != yours.permission_id


def test_generated_ids_are_as_many_as_asked_for_and_all_different(world: World) -> None:
    assert len(set(world.mine.generate_ids(1001))) == 1001


def test_a_folder_is_made_once_however_often_it_is_asked_for(world: World) -> None:
    file_id = world.new_id()
    first = world.mine.create_folder(file_id, "name", world.folder)
    assert world.mine.create_folder(file_id, "name", world.folder) == first == world.mine.get_file(file_id)
    assert (first.name, first.parents, first.is_folder, first.owned_by_me) == ("name", (world.folder,), True, True)
    assert [file.id for file in world.mine.list_files(f"'{world.folder}' in parents and trashed=false")] == [file_id]


def test_a_file_is_stored_once_however_often_it_is_uploaded(world: World) -> None:
    file_id = world.new_id()
    for _ in range(2):
        world.mine.upload(file_id, "name", world.folder, b"body", properties={"status": "error"})
    file = world.mine.get_file(file_id)
    assert (file.size, file.sha256) == (4, hashlib.sha256(b"body").hexdigest())
    assert split(file.properties)[1] == {"status": "error"}
    assert (file.trashed, file.owners) == (False, (world.mine.about().email,))
    assert [file.id for file in world.mine.list_files(f"'{world.folder}' in parents")] == [file_id]


@pytest.mark.parametrize("size", [0, 1, 5 * 1024 * 1024, 5 * 1024 * 1024 + 1, 9 * 1024 * 1024 + 7])
@pytest.mark.parametrize("source", ["bytes", "path"])
def test_a_body_comes_back_as_it_went(world: World, tmp_path: Path, size: int, source: str) -> None:
    body = os.urandom(size)
    (tmp_path / "up").write_bytes(body)
    file_id = world.upload(body if source == "bytes" else tmp_path / "up")
    world.mine.download(file_id, tmp_path / "down", size=size, sha256=hashlib.sha256(body).hexdigest())
    assert (tmp_path / "down").read_bytes() == body


@pytest.mark.parametrize(
    "name", ["flwr/diabetes", "O'Hara\\", 'a "quoted" name', "🌼 Müller", "..", "a\u00a0b", "n" * 300]
)
def test_a_name_is_kept_and_found_as_it_is(world: World, name: str) -> None:
    file_id = world.upload(name=name)
    assert world.mine.get_file(file_id).name == name
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    found = world.mine.list_files(f"name = '{quoted}' and '{world.folder}' in parents")
    assert [file.id for file in found] == [file_id]


def test_a_damaged_download_is_refused_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    file_id = world.upload()
    with pytest.raises(TransferError):
        world.mine.download(file_id, tmp_path / "down", size=4, sha256=hashlib.sha256(b"other").hexdigest())
    assert not (tmp_path / "down").exists()


def test_what_is_not_there_is_not_found(world: World, tmp_path: Path) -> None:
    file_id = world.new_id()
    with pytest.raises(NotFoundError):
        world.mine.get_file(file_id)
    with pytest.raises(NotFoundError):
        world.mine.download(file_id, tmp_path / "down", size=None, sha256=None)
    with pytest.raises(NotFoundError):
        list(world.mine.list_files(f"'{world.folder}' in parents or '{file_id}' in parents"))
    with pytest.raises(NotFoundError):
        world.mine.share(file_id, "you@example.com")
    with pytest.raises(NotFoundError):
        world.mine.upload(world.new_id(), "name", file_id, b"body")


def test_what_is_not_shared_is_not_found_by_others(world: World) -> None:
    file_id = world.upload()
    with pytest.raises(NotFoundError):
        world.yours.get_file(file_id)


def test_a_query_of_a_hundred_parents_works(world: World) -> None:
    file_id = world.upload()
    query = " or ".join([f"'{world.folder}' in parents"] * 100)
    assert [file.id for file in world.mine.list_files(query)] == [file_id]


def test_a_malformed_query_is_an_error(world: World) -> None:
    with pytest.raises(DriveError) as caught:
        list(world.mine.list_files("name = "))
    assert caught.value.status == 400


def test_sharing_again_changes_nothing_and_lets_both_write(world: World) -> None:
    folder = world.share()
    world.mine.share(folder, world.yours.about().email)
    (file_id,) = world.yours.generate_ids(1)
    world.yours.upload(file_id, "yours", folder, b"from you")
    seen = world.mine.get_file(file_id)
    assert (seen.owned_by_me, seen.owners) == (False, (world.yours.about().email,))


def test_only_the_owner_can_delete(world: World) -> None:
    folder = world.share()
    file_id = world.upload(parent=folder)
    assert world.yours.get_file(file_id).size == 4
    with pytest.raises(PermissionDeniedError):
        world.yours.delete(file_id)
    assert world.mine.get_file(file_id).id == file_id


def test_deleting_twice_is_as_good_as_once(world: World) -> None:
    file_id = world.upload()
    world.mine.delete(file_id)
    world.mine.delete(file_id)
    with pytest.raises(NotFoundError):
        world.mine.get_file(file_id)


def test_the_feed_shows_what_came_after_its_token_and_only_that(world: World) -> None:
    before = world.upload()
    token = world.mine.get_start_page_token()
    after = world.upload()
    found, next_token = world.changes(world.mine, token)
    assert after in found
    assert before not in found
    assert found[after] == world.mine.get_file(after)
    assert after not in world.changes(world.mine, next_token)[0]
    assert after in world.changes(world.mine, token)[0]


def test_the_feed_shows_a_tombstone_of_what_was_deleted(world: World) -> None:
    file_id = world.upload()
    token = world.mine.get_start_page_token()
    world.mine.delete(file_id)
    found, _ = world.changes(world.mine, token)
    assert found[file_id] is None


def test_the_feed_shows_what_others_put_into_a_folder_of_mine(world: World) -> None:
    folder = world.share()
    token = world.mine.get_start_page_token()
    (file_id,) = world.yours.generate_ids(1)
    world.yours.upload(file_id, "yours", folder, b"from you")
    found, _ = world.changes(world.mine, token)
    file = found[file_id]
    assert file is not None
    assert (file.parents, file.owners) == ((folder,), (world.yours.about().email,))


@pytest.mark.parametrize("token", ["garbage", "-1", "99999999999999", "1.5"])
def test_a_page_token_that_drive_never_gave_is_rejected(world: World, token: str) -> None:
    with pytest.raises(PageTokenRejectedError):
        world.mine.list_changes(token)


def test_drives_clock_is_known(world: World) -> None:
    world.mine.about()
    assert abs(world.mine.server_time() - time.time()) < 3600


def test_a_closed_gateway_refuses_everything(world: World, tmp_path: Path) -> None:
    world.yours.close()
    world.yours.close()
    calls: list[Callable[[], object]] = [
        world.yours.about,
        world.yours.get_start_page_token,
        lambda: world.yours.list_changes("1"),
        lambda: list(world.yours.list_files("trashed=false")),
        lambda: world.yours.get_file("f"),
        lambda: world.yours.generate_ids(1),
        lambda: world.yours.create_folder("f", "n", None),
        lambda: world.yours.share("f", "me@example.com"),
        lambda: world.yours.upload("f", "n", "p", b""),
        lambda: world.yours.download("f", tmp_path / "f", size=None, sha256=None),
        lambda: world.yours.delete("f"),
    ]
    for call in calls:
        with pytest.raises(RuntimeClosedError):
            call()
