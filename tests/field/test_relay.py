"""The relay hands on what no rule strikes, and strikes what a rule says."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from syft_flwr.testing import DriveEmulator, FaultRelay
from syft_flwr.testing.bad_answers import Exchange
from syft_flwr.testing.fault_kinds import KINDS, METHODS
from syft_flwr.testing.http_server import Answer

ME = "me@example.com"
BODY = b"content of a file" * 20


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[DriveEmulator, FaultRelay]]:
    with DriveEmulator() as drive, FaultRelay(drive.url) as relay:
        yield drive, relay


@pytest.fixture
def relay(running: tuple[DriveEmulator, FaultRelay]) -> FaultRelay:
    running[0].reset()
    running[1].clear()
    return running[1]


class Client:
    """Calls methods of Drive by their names."""

    def __init__(self, relay: FaultRelay, email: str = ME) -> None:
        self._relay = relay
        self._email = email
        self.headers: dict[str, str] = {}

    def call(self, verb: str, path: str, body: Any = None, **query: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._relay.host, timeout=10.0)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._email}", "Content-Type": "application/json"}
        try:
            connection.request(verb, f"{path}?{urlencode(query)}", content, headers)
            answer = connection.getresponse()
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read()
        finally:
            connection.close()

    def file(self) -> str:
        query = {"uploadType": "resumable"}
        self.call("POST", "/upload/drive/v3/files", {"name": "file"}, **query)
        session = self.headers["location"].removeprefix(self._relay.url)
        _, answer = self.call("PUT", session.partition("?")[0], BODY, **dict(_pairs(session)))
        return str(json.loads(answer)["id"])


def _pairs(path: str) -> list[list[str]]:
    return [pair.split("=") for pair in path.partition("?")[2].split("&")]


def act_on(client: Client, method: str) -> tuple[int, bytes]:
    """Call a method on a file of its own."""
    files = "/drive/v3/files"
    file_id = (
        "" if method in ("about.get", "files.list", "files.create") or method.startswith("changes") else client.file()
    )
    ways: dict[str, tuple[str, str, Any, dict[str, str]]] = {
        "about.get": ("GET", "/drive/v3/about", None, {"fields": "*"}),
        "changes.list": ("GET", "/drive/v3/changes", None, {"pageToken": "1"}),
        "changes.getStartPageToken": ("GET", "/drive/v3/changes/startPageToken", None, {}),
        "files.list": ("GET", files, None, {}),
        "files.generateIds": ("GET", f"{files}/generateIds", None, {}),
        "files.get": ("GET", f"{files}/{file_id}", None, {}),
        "files.get_media": ("GET", f"{files}/{file_id}", None, {"alt": "media"}),
        "files.create": ("POST", files, {"name": "another"}, {}),
        "files.update": ("PATCH", f"{files}/{file_id}", {"name": "other"}, {}),
        "files.delete": ("DELETE", f"{files}/{file_id}", None, {}),
        "permissions.create": (
            "POST",
            f"{files}/{file_id}/permissions",
            {"type": "user", "role": "reader", "emailAddress": "you@example.com"},
            {},
        ),
    }
    verb, path, body, query = ways[method]
    return client.call(verb, path, body, **query)


@pytest.mark.parametrize("method", sorted(METHODS - {"uploads.put"}))
def test_what_no_rule_strikes_is_handed_on(relay: FaultRelay, method: str) -> None:
    status, _ = act_on(Client(relay), method)
    last = relay.calls()[-1]
    assert status in (200, 204)
    assert (last.method, last.account, last.status, last.fault) == (method, ME, status, "")


def test_a_resumable_upload_goes_through_the_relay(relay: FaultRelay) -> None:
    client = Client(relay)
    file_id = client.file()
    assert [call.method for call in relay.calls()][-2:] == ["files.create", "uploads.put"]
    assert client.call("GET", f"/drive/v3/files/{file_id}", alt="media") == (200, BODY)


SLOW = {"late", "hung", "dripping"}
"""Kinds that alter nothing but the time."""


@pytest.mark.parametrize("name", sorted(set(KINDS) - SLOW - {"sent_twice", "stale"}))
def test_each_kind_shows_in_what_comes_back(relay: FaultRelay, name: str) -> None:
    method = next(each for each in ("files.list", "files.get_media", "files.get") if KINDS[name].strikes(each))
    client = Client(relay)
    client.file()
    good = shown(client, method)
    with relay.fault(name, method=method):
        assert shown(client, method) != good


def shown(client: Client, method: str) -> object:
    """Return what a client sees of an answer, its date to the hour."""
    try:
        answer = act_on(client, method)
    except (OSError, http.client.HTTPException) as error:
        return type(error)
    date = client.headers.pop("date", "")
    return answer, client.headers, date[: -len("00:00 GMT")]


def test_a_rule_strikes_its_account_as_often_as_it_says(relay: FaultRelay) -> None:
    mine, yours = Client(relay), Client(relay, "you@example.com")
    with relay.fault("empty", method="files.list", account=ME, times=2):
        bodies = [act_on(client, "files.list")[1] for client in (mine, yours, mine, mine)]
    assert [body == b"" for body in bodies] == [True, False, True, False]


def test_a_call_takes_effect_whose_answer_is_lost(relay: FaultRelay) -> None:
    client = Client(relay)
    with relay.fault("login_page", method="files.create", applied=True, times=1):
        assert b"log in" in act_on(client, "files.create")[1].lower()
    assert b"another" in act_on(client, "files.list")[1]


def test_a_function_is_a_kind_of_ones_own(relay: FaultRelay) -> None:
    def teapot(exchange: Exchange) -> Answer:
        return Answer(418, exchange.forward().body)

    with relay.fault(teapot, method="about.get"):
        assert act_on(Client(relay), "about.get")[0] == 418
    assert relay.calls()[-1].fault == "teapot"


def test_a_kind_that_is_not_there_or_cannot_strike_is_refused(relay: FaultRelay) -> None:
    with pytest.raises(ValueError, match=r"no kind of fault 'html'; there are login_page"):
        relay.add("html")
    with pytest.raises(ValueError, match=r"incomplete_search can't strike files\.get"):
        relay.add("incomplete_search", method="files.get")


def test_a_drive_that_is_gone_is_a_connection_that_breaks() -> None:
    with FaultRelay("http://127.0.0.1:9") as relay, pytest.raises(ConnectionResetError):
        act_on(Client(relay), "files.list")


def test_the_documentation_lists_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/faults.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE) == [(k.name, k.what) for k in KINDS.values()]
