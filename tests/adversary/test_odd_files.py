"""Whatever a known sender puts into its inbox, the next honest request is answered, and the feed goes on."""

from __future__ import annotations

import zlib
from base64 import b85encode
from collections.abc import Callable, Iterator

import pytest

from accounts import APP, DO, DS, FOLDER, Observed, PlainAccount, calls, owner, serving
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

NAME = "00000000-0000-4000-8000-000000000001.request"
SHORTCUT = "application/vnd.google-apps.shortcut"
Put = Callable[[PlainAccount, str], object]


def of_type(mime_type: str, **more: object) -> Put:
    def put(account: PlainAccount, folder: str) -> None:
        body = {"name": NAME, "parents": [folder], "mimeType": mime_type, **more}
        account.call("POST", "/drive/v3/files", body)

    return put


def with_properties(properties: dict[str, str], content: bytes = b"x") -> Put:
    return lambda account, folder: account.put(NAME, folder, content, properties)


def bomb() -> dict[str, str]:
    text = b85encode(zlib.compress(bytes(2_000_000), 9)).decode()
    return {f"b{start // 121}": text[start : start + 121] for start in range(0, len(text), 121)}


def endless(account: PlainAccount, folder: str) -> None:
    """A message that goes on in itself, and announces itself."""
    file = account.put(NAME, folder, b"x")
    account.call(
        "PATCH", f"/drive/v3/files/{file}", {"properties": {"more": f"{file},{file}", "next": file, "b0": "~"}}
    )


def shortcut(target: str) -> Put:
    """A shortcut to the inbox itself, or to a request in it."""

    def put(account: PlainAccount, folder: str) -> None:
        to = folder if target == "folder" else account.put("draft", folder, b"x")
        body = {"name": NAME, "parents": [folder], "mimeType": SHORTCUT, "shortcutDetails": {"targetId": to}}
        account.call("POST", "/drive/v3/files", body)

    return put


def deep(account: PlainAccount, folder: str) -> None:
    for _ in range(40):
        folder = account.folder("rpc", folder)
    account.put(NAME, folder, b"x")


def beside(name: str) -> Put:
    """A message to an endpoint of that name."""

    def put(account: PlainAccount, folder: str) -> None:
        rpc = account.call("GET", f"/drive/v3/files/{folder}", fields="parents")["parents"][0]
        account.put(NAME, account.folder(name, rpc), b"x")

    return put


def of_name(name: str) -> Put:
    return lambda account, folder: account.put(name, folder, b"x")


def folder_in_a_message(account: PlainAccount, folder: str) -> None:
    account.put(NAME, account.folder(NAME, folder), b"x")


ODD: dict[str, Put] = {
    "a shortcut to a file": shortcut("file"),
    "a shortcut to the folder": shortcut("folder"),
    "a document": of_type("application/vnd.google-apps.document"),
    "an unknown Google type": of_type("application/vnd.google-apps.drive-sdk.123"),
    "a folder": of_type(FOLDER),
    "a message in a folder named like one": folder_in_a_message,
    "an empty file": lambda account, folder: account.put(NAME, folder, b""),
    "a body that unpacks to megabytes": with_properties(bomb()),
    "properties that are no base85": with_properties({"b0": "\u202e\u00e9\u0000~~~", "b7": "x"}),
    "properties that end in nothing": with_properties({"b0": "", "more": ",,,,", "next": "../../x"}),
    "a message that goes on in itself": endless,
    "a message that names a file that is not there": with_properties({"more": "1" * 40, "next": "1" * 40, "b0": "0"}),
    "many properties": with_properties({f"p{n}": "x" * 100 for n in range(30)}),
    "a message under forty folders": deep,
    "an endpoint called ..": beside(".."),
    "an endpoint of control characters": beside("a\u0007b\u009b"),
    "an endpoint of marks": beside("\u202e\u2066message"),
    "an endpoint of five thousand bytes": beside("\u00e9" * 2500),
    "a name of upper case": of_name(NAME.replace(".request", ".REQUEST")),
    "a name with a line break": of_name("x\n\x1b[2J.request"),
    "a name of a path": of_name("../../../etc/passwd.request"),
    "a name without an ID": of_name(".request"),
    "a name of a megabyte": of_name("x" * 30_000 + ".request"),
}


@pytest.fixture
def sender(drive: DriveEmulator) -> Iterator[PlainAccount]:
    with PlainAccount(drive, DS) as account:
        yield account


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_stops_nothing_and_the_next_request_is_answered(
    kind: str, drive: DriveEmulator, sender: PlainAccount
) -> None:
    with Observed(DO) as observed, serving(owner(bytes.upper, allowed_senders=[DS])), P2PFileRpc(DS, APP) as rpc:
        folder = sender.inbox(DS, DO)
        ODD[kind](sender, folder)
        answered = rpc.send(DO, None, "messages", b"hello")

        assert rpc.wait([answered], 20) == {answered: b"HELLO"}
        assert observed.errors == []
        assert observed.runtime.drain(20)
        before = len(calls(drive, DO))
        for _ in range(3):
            observed.runtime.poll_once()
        assert len(calls(drive, DO)) - before <= 12, "it is over: nothing is asked again and again"
    assert all(rejection.detail.isprintable() for rejection in observed.rejected)
