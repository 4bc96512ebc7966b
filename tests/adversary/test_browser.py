"""A web page that the user looks at while an emulator runs reads nothing, changes nothing and controls nothing."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import pytest

from accounts import APP, DO, DS
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

SECRET = b"the patient's name"
PAGES = [{"Origin": "https://evil.example.com"}, {"Origin": "null"}, {"Host": "evil.example.com"}]
"""Of another site, in a sandboxed frame, and one whose name has come to mean this machine (DNS rebinding)."""


@pytest.fixture
def request_id(drive: DriveEmulator) -> str:
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, None, "messages", SECRET)
    return next(file.id for file in drive.files() if file.name.endswith(".request"))


CALLS = [
    ("GET", "/drive/v3/files/{}?alt=media", None),
    ("GET", "/drive/v3/files?fields=*", None),
    ("PATCH", "/drive/v3/files/{}", {"name": "x"}),
    ("DELETE", "/drive/v3/files/{}", None),
    ("POST", "/drive/v3/files/{}/permissions", {"type": "anyone", "role": "reader"}),
    ("GET", "/emulator/files", None),
    ("POST", "/emulator/reset", {}),
    ("OPTIONS", "/drive/v3/files/{}", None),
    ("GET", "/o/oauth2/v2/auth?login_hint=do@example.com", None),
]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_of_another_site_gets_nothing(drive: DriveEmulator, request_id: str, page: dict[str, str]) -> None:
    before = [(file.id, file.name, file.roles, file.content) for file in drive.files()]
    for verb, path, body in CALLS:
        connection = HTTPConnection("127.0.0.1", drive.port, timeout=30)
        headers = {"Authorization": f"Bearer {DS}", "Content-Type": "application/json", **page}
        connection.request(verb, path.format(request_id), None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status in (401, 403, 421), (verb, path)
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert SECRET not in content
        assert request_id.encode() not in content
    assert [(file.id, file.name, file.roles, file.content) for file in drive.files()] == before
