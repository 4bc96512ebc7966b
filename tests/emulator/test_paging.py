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
def inboxes() -> Iterator[tuple[Drive, list[str]]]:
    """Two folders of Alice's that Bob may write to, with many files, in one and the other in turn."""
    drive = Drive()
    alice, bob = drive.accounts.ensure("alice@example.org"), drive.accounts.ensure("bob@example.org")
    with drive.database.transaction():
        kind = "application/vnd.google-apps.folder"
        folders = [drive.files.create(alice, Metadata(name="inbox", mime_type=kind), None).id for _ in range(2)]
        grant = {"type": "user", "role": "writer", "emailAddress": bob.email}
        for folder in folders:
            drive.permissions.create(alice, folder, grant, transfer_ownership=False)
        for number in range(FILES):
            metadata = Metadata(name=str(number), parents=(folders[number % 2],))
            drive.files.create(alice, metadata, None, "text/plain")
    yield drive, folders
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
        ("'{0}' in parents and trashed = false", ""),
        ("'{0}' in parents and trashed = false", "createdTime"),
        ("trashed = false and ('{0}' in parents or '{1}' in parents)", ""),
        ("('{1}' in parents or '{0}' in parents or '{1}' in parents) and trashed = false", "createdTime"),
        ("mimeType = 'text/plain'", ""),
        ("mimeType = 'text/plain'", "createdTime"),
        ("mimeType = 'text/plain'", "name desc"),
    ],
)
def test_no_page_costs_more_than_what_it_holds(
    inboxes: tuple[Drive, list[str]], email: str, query: str, order_by: str
) -> None:
    drive, folders = inboxes

    names, costs = walk(drive, drive.accounts.ensure(email), query.format(*folders), order_by)

    arrival = [str(number) for number in range(0, FILES, 1 if "'{0}'" not in query or "'{1}'" in query else 2)]
    in_order = {"": arrival[::-1], "createdTime": arrival, "name desc": sorted(arrival, reverse=True)}
    assert names == in_order[order_by]
    assert max(costs) < FILES * 2


@pytest.mark.parametrize("order_by", ["name desc,createdTime", "folder,modifiedTime desc,name", "modifiedTime", "name"])
def test_every_order_gives_each_file_once(inboxes: tuple[Drive, list[str]], order_by: str) -> None:
    drive, folders = inboxes
    alice = drive.accounts.ensure("alice@example.org")
    query = " or ".join(f"'{folder}' in parents" for folder in folders)

    names, _ = walk(drive, alice, query, order_by)

    assert names == [file.name for file, _ in drive.search.page(alice, query, order_by, 5000, None).found]
    assert sorted(names, key=int) == [str(number) for number in range(FILES)]
