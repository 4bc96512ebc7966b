"""A 200 whose body is not what the call promises is a failed call, for every method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Answer, ScriptedServer

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import DamagedDownloadError, DriveUnavailableError, ListingError

PAGE = Answer(200, b"<html>Log in to the hotel</html>", {"Content-Type": "text/html; charset=utf-8"})
EMPTY = Answer(200, b"")
OTHER_SHAPE = Answer(200, {"kind": "drive#other", "error": "none"})
A_LIST = Answer(200, [1, 2])
ACCEPTED = Answer(202, {"queued": True})
REDIRECT = Answer(302, b"", {"Location": "http://127.0.0.1:1/portal"})

CALLS: dict[str, Callable[[HttpDriveGateway, Path], Any]] = {
    "about.get": lambda gateway, _: gateway.about(),
    "changes.getStartPageToken": lambda gateway, _: gateway.get_start_page_token(),
    "changes.list": lambda gateway, _: gateway.list_changes("1"),
    "files.list": lambda gateway, _: list(gateway.list_files("trashed = false")),
    "files.get": lambda gateway, _: gateway.get_file("f"),
    "files.generateIds": lambda gateway, _: gateway.generate_ids(3),
    "files.create of a folder": lambda gateway, _: gateway.create_folder("f", "name", None),
    "files.create": lambda gateway, _: gateway.upload("f", "name", "p", b"body"),
    "files.create, resumable": lambda gateway, _: gateway.upload("f", "name", "p", bytes(6_000_000)),
    "permissions.create": lambda gateway, _: gateway.share("f", "a@example.com"),
    "files.delete": lambda gateway, _: gateway.delete("f"),
    "files.get_media": lambda gateway, path: gateway.download("f", path / "body", size=4, sha256=None),
}


ANSWERS = {"page": PAGE, "empty": EMPTY, "shape": OTHER_SHAPE, "list": A_LIST, "202": ACCEPTED, "redirect": REDIRECT}
EVERY_PAIR = [(call, answer) for call in CALLS for answer in ANSWERS]
EVERY_PAIR.remove(("files.delete", "empty"))  # that is what a deletion promises


@pytest.mark.parametrize(("call", "answer"), EVERY_PAIR)
def test_an_answer_of_another_kind_is_no_answer(
    server: ScriptedServer, open_gateway: Callable[..., HttpDriveGateway], tmp_path: Path, call: str, answer: str
) -> None:
    gateway = open_gateway(patience=0.0)
    server.script(ANSWERS[answer])
    with pytest.raises(DriveUnavailableError):
        CALLS[call](gateway, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_other_than_the_one_asked_for_is_no_answer(
    server: ScriptedServer, open_gateway: Callable[..., HttpDriveGateway]
) -> None:
    gateway = open_gateway(patience=0.0)
    server.script(Answer(200, {"id": "another", "name": "x", "mimeType": "text/plain", "createdTime": "2026-01-01"}))
    with pytest.raises(DriveUnavailableError, match="another"):
        gateway.get_file("f")


@pytest.mark.parametrize("body", [b"", b"abc", b"abcde"])
def test_a_body_of_another_length_is_damage_on_the_way(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, body: bytes
) -> None:
    server.script(Answer(200, body))
    with pytest.raises(DamagedDownloadError):
        gateway.download("f", tmp_path / "body", size=4, sha256=None)


FILE = {"id": "f", "name": "x", "mimeType": "text/plain", "createdTime": "2026-01-01T00:00:00.000Z"}


@pytest.mark.parametrize("tokens", [["2", "2"], ["2", "3", "2"]])
def test_page_tokens_that_go_in_circles_end_a_list_after_the_rows_that_came(
    server: ScriptedServer, gateway: HttpDriveGateway, tokens: list[str]
) -> None:
    server.script(*(Answer(200, {"files": [FILE], "nextPageToken": token}) for token in tokens))
    came = []
    with pytest.raises(ListingError, match="circles"):
        came.extend(file.id for file in gateway.list_files("q"))
    assert len(server.requests) == len(tokens)


def test_empty_pages_without_end_are_a_fault(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(*(Answer(200, {"files": [], "nextPageToken": str(number)}) for number in range(200)))
    with pytest.raises(ListingError, match="empty"):
        list(gateway.list_files("q"))
    assert len(server.requests) < 60


def test_a_list_that_has_not_looked_everywhere_gives_what_it_has_and_counts_as_failed(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(Answer(200, {"files": [FILE], "incompleteSearch": True}))
    came = []
    with pytest.raises(ListingError, match="everywhere"):
        came.extend(file.id for file in gateway.list_files("q"))
