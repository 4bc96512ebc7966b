"""A page of ``files.list`` costs what it holds, wherever it stands in however large a Drive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drive_emulator.drive import Drive
from drive_emulator.metadata import Metadata
from drive_emulator.model import Account

FILES = 2000
SIZE = 20
STEP = 100
"""SQLite's instructions between two calls of the counter."""


@pytest.fixture(scope="module")
def inbox() -> Iterator[tuple[Drive, str]]:
    """A folder of Alice's that Bob may write to, with many files."""
    drive = Drive()
    alice, bob = drive.accounts.ensure("alice@example.org"), drive.accounts.ensure("bob@example.org")
    with drive.database.transaction():
        folder = drive.files.create(
            alice, Metadata(name="inbox", mime_type="application/vnd.google-apps.folder"), None
        ).id
        grant = {"type": "user", "role": "writer", "emailAddress": bob.email}
        drive.permissions.create(alice, folder, grant, transfer_ownership=False)
        for number in range(FILES):
            drive.files.create(alice, Metadata(name=str(number), parents=(folder,)), None, "text/plain")
    yield drive, folder
    drive.close()


def walk(drive: Drive, account: Account, q: str, order_by: str) -> tuple[list[str], list[int]]:
    """Return the names of all pages, and the instructions that each page took."""
    names: list[str] = []
    costs: list[int] = []
    token = None

    def count() -> None:
        costs[-1] += STEP

    drive.database._connection.set_progress_handler(count, STEP)
    while token is not None or not costs:
        costs.append(0)
        page = drive.search.page(account, q, order_by, SIZE, token)
        names += [file.name for file, _ in page.found]
        token = page.next_token
    drive.database._connection.set_progress_handler(None, 0)
    return names, costs


@pytest.mark.parametrize("email", ["alice@example.org", "bob@example.org"])
@pytest.mark.parametrize(
    ("query", "order_by"),
    [
        ("'{}' in parents and trashed = false", ""),
        ("'{}' in parents and trashed = false", "createdTime"),
        ("mimeType = 'text/plain'", ""),
        ("mimeType = 'text/plain'", "createdTime"),
        ("mimeType = 'text/plain'", "name desc"),
    ],
)
def test_no_page_costs_more_than_what_it_holds(inbox: tuple[Drive, str], email: str, query: str, order_by: str) -> None:
    drive, folder = inbox

    names, costs = walk(drive, drive.accounts.ensure(email), query.format(folder), order_by)

    arrival = [str(number) for number in range(FILES)]
    in_order = {"": arrival[::-1], "createdTime": arrival, "name desc": sorted(arrival, reverse=True)}
    assert names == in_order[order_by]
    assert max(costs) < FILES * 2


@pytest.mark.parametrize("order_by", ["name desc,createdTime", "folder,modifiedTime desc,name", "modifiedTime", "name"])
def test_every_order_gives_each_file_once(inbox: tuple[Drive, str], order_by: str) -> None:
    drive, folder = inbox
    alice = drive.accounts.ensure("alice@example.org")

    names, _ = walk(drive, alice, f"'{folder}' in parents", order_by)

    assert names == [
        file.name for file, _ in drive.search.page(alice, f"'{folder}' in parents", order_by, 5000, None).found
    ]
    assert sorted(names, key=int) == [str(number) for number in range(FILES)]
