"""``syft-flwr doctor --probe``: questions about Drive that no document answers, put to one or two real accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from syft_flwr.cli.checks_drive import FEED_PATIENCE, wait_for_change
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.query import quote
from syft_flwr.resources import DriveFile

COST = 3_000
"""Quota units that a probe of two accounts takes at most, if the feed is not very late."""
_NAME = "syft-flwr probe"
_PROPERTIES = {"probe": "yes"}
_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What Drive was found to do; ``learned`` are the fields of :class:`~syft_flwr.drive.habits.Habits` that it tells.

    What it tells of two accounts, it tells of both.
    """

    question: str
    answer: str
    learned: Mapping[str, bool | float] = field(default_factory=dict)


def probe(mine: HttpDriveGateway, theirs: HttpDriveGateway | None = None) -> Iterator[Answer]:
    """Yield the answers as they come; what was made for them in Drive is deleted at the end.

    Args:
        mine: An account's Drive.
        theirs: Another account's, for what passes between two.
    """
    with _folders(mine) as (root, left, right):
        yield _start_token_rests(mine)
        yield from _own_feed(mine, left)
        yield _reserved_id(mine, root)
        yield _grouped_parents(mine, left, right)
        if theirs is not None:
            yield from _foreign_feed(mine, theirs, root, left)


@contextmanager
def _folders(gateway: HttpDriveGateway) -> Iterator[Sequence[str]]:
    root, left, right = gateway.generate_ids(3)
    gateway.create_folder(root, _NAME, None)
    try:
        for folder in (left, right):
            gateway.create_folder(folder, _NAME, root)
        yield root, left, right
    finally:
        gateway.delete(root)


def _start_token_rests(gateway: HttpDriveGateway) -> Answer:
    before = gateway.get_start_page_token()
    time.sleep(_PAUSE)
    rests = before == gateway.get_start_page_token()
    question = f"does the start token stand still for {_PAUSE:g} s in which nothing happens?"
    return Answer(question, _yes(rests), {"token_tells": rests})


def _own_feed(gateway: HttpDriveGateway, folder: str) -> Iterator[Answer]:
    token = gateway.get_start_page_token()
    file_id = _upload(gateway, folder)
    moved = token != gateway.get_start_page_token()
    yield Answer(
        "has the start token moved right after an upload?", _yes(moved), {} if moved else {"token_tells": False}
    )
    yield from _told_of_change("the account's own feed", wait_for_change(gateway, token, file_id))


def _reserved_id(gateway: HttpDriveGateway, root: str) -> Answer:
    (file_id,) = gateway.generate_ids(1)
    for _ in range(2):
        gateway.create_folder(file_id, "twice", root)
    found = list(gateway.list_files(f"{quote(root)} in parents and name = 'twice' and trashed = false"))
    return Answer("does a reserved ID that is used twice make one folder?", _yes(len(found) == 1))


def _grouped_parents(gateway: HttpDriveGateway, left: str, right: str) -> Answer:
    wanted = {_upload(gateway, folder) for folder in (left, right)}
    query = f"({quote(left)} in parents or {quote(right)} in parents) and trashed = false"
    found = {file.id for file in gateway.list_files(query)}
    both = wanted <= found
    return Answer("does one query over two parents find the files of both?", _yes(both), {"groups_parents": both})


def _foreign_feed(mine: HttpDriveGateway, theirs: HttpDriveGateway, root: str, folder: str) -> Iterator[Answer]:
    other = theirs.about()
    mine.share(root, other.email)
    token = theirs.get_start_page_token()
    file_id = _upload(mine, folder)
    seen = wait_for_change(theirs, token, file_id)
    for answer in _told_of_change("the feed of an account with which its folder is shared", seen):
        learned = {"feed_tells_of_others": seen is not None, "feed_delay": 0.0 if seen is None else seen[0]}
        yield replace(answer, learned=learned)
    file = next((each for each in theirs.list_files(f"{quote(folder)} in parents") if each.id == file_id), None)
    yield Answer("does that account's listing show the file at once?", _yes(file is not None))
    visible = _has_properties(file)
    yield Answer("are the file's properties visible to it?", _yes(visible), {"shows_properties": visible})
    yield Answer("are the owner's address and ID visible to it?", _yes(file is not None and _is_attested(file)))


def _told_of_change(feed: str, seen: tuple[float, DriveFile | None] | None) -> Iterator[Answer]:
    question = f"does {feed} show a new file?"
    if seen is None:
        yield Answer(question, f"not within {FEED_PATIENCE:g} s")
        return
    yield Answer(question, f"after {seen[0]:.1f} s")
    yield Answer(f"does {feed} tell its properties?", _yes(_has_properties(seen[1])))


def _has_properties(file: DriveFile | None) -> bool:
    return file is not None and file.properties.items() >= _PROPERTIES.items()


def _is_attested(file: DriveFile) -> bool:
    return bool(file.owners) and all(file.owners) and bool(file.owner_ids) and all(file.owner_ids)


def _upload(gateway: HttpDriveGateway, folder: str) -> str:
    (file_id,) = gateway.generate_ids(1)
    gateway.upload(file_id, _NAME, folder, b"", properties=_PROPERTIES)
    return file_id


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
