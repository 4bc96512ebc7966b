"""A participant that alters, deletes or locks its reply after it came is the only one whose reply is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts import APP, DO, DS, PlainAccount
from syft_flwr.errors import DriveUnavailableError, RemoteHandlerError
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing import DriveEmulator

HONEST = "honest@example.com"

Spoil = Callable[[DriveEmulator, PlainAccount, str], None]


def alter(drive: DriveEmulator, account: PlainAccount, file_id: str) -> None:
    connection = account._connection
    headers = {"Authorization": f"Bearer {account.email}", "Content-Type": "application/octet-stream"}
    connection.request("PATCH", f"/upload/drive/v3/files/{file_id}?uploadType=media", b"altered", headers)
    assert connection.getresponse().read()


def delete(drive: DriveEmulator, account: PlainAccount, file_id: str) -> None:
    account.call("DELETE", f"/drive/v3/files/{file_id}")


def refuse(drive: DriveEmulator, account: PlainAccount, file_id: str) -> None:
    drive.add_fault("error", account=DS, method="files.get_media", status=403, reason="cannotDownloadFile", times=1)


@pytest.fixture
def peers(drive: DriveEmulator) -> Iterator[dict[str, PlainAccount]]:
    with PlainAccount(drive, DO) as hostile, PlainAccount(drive, HONEST) as honest:
        yield {DO: hostile, HONEST: honest}


def answered(rpc: P2PFileRpc, peers: dict[str, PlainAccount]) -> tuple[list[str], str]:
    """Have both peers answer; return the futures, the hostile one's first, and the file of its reply."""
    futures = [rpc.send(email, APP, "messages", b"x") for email in peers]
    files = [
        account.put(f"{future}.response", account.inbox(email, DS), f"reply of {email}".encode())
        for (email, account), future in zip(peers.items(), futures, strict=True)
    ]
    assert rpc.runtime.answered(futures, 20) == set(futures)
    return futures, files[0]


@pytest.mark.parametrize("spoil", [alter, delete, refuse])
def test_the_others_replies_come_and_the_bad_one_is_an_error_reply(
    spoil: Spoil, drive: DriveEmulator, peers: dict[str, PlainAccount]
) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        (bad, good), file_id = answered(rpc, peers)
        assert rpc.get_response(good)  # on disk by now
        spoil(drive, peers[DO], file_id)
        replies = rpc.wait([bad, good], 20, raise_errors=False)
        assert replies[good] == f"reply of {HONEST}".encode()
        assert "the reply" in json.loads(replies[bad])["error"]


@pytest.mark.parametrize("spoil", [alter, delete])
def test_an_error_that_is_raised_brings_the_others_replies_along(
    spoil: Spoil, drive: DriveEmulator, peers: dict[str, PlainAccount]
) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        (bad, good), file_id = answered(rpc, peers)
        spoil(drive, peers[DO], file_id)
        with pytest.raises(RemoteHandlerError) as raised:
            rpc.wait([bad, good], 20)
        assert raised.value.future_id == bad
        assert raised.value.others == {good: f"reply of {HONEST}".encode()}
        seen = []
        with pytest.raises(RemoteHandlerError):
            seen.extend(future for future, _ in rpc.as_completed([bad, good], 20))
        assert [future for future, _ in rpc.as_completed([bad, good], 20, raise_errors=False)] == [bad, good]


def test_a_reply_that_does_not_download_at_the_moment_keeps_no_other_back(
    drive: DriveEmulator, peers: dict[str, PlainAccount], monkeypatch: pytest.MonkeyPatch
) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        (bad, good), file_id = answered(rpc, peers)
        gateway = engine_of(rpc.runtime).parts.gateway
        download = gateway.download

        def fail(wanted: str, *args: Any, **options: Any) -> None:
            if wanted == file_id:
                raise DriveUnavailableError("not now")
            download(wanted, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(gateway, "download", fail)
            assert rpc.wait([bad, good], 20) == {good: f"reply of {HONEST}".encode()}
            with pytest.raises(DriveUnavailableError):
                rpc.wait([bad], 5)
        assert rpc.wait([bad], 20) == {bad: f"reply of {DO}".encode()}
