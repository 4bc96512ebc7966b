"""Pages of other machines, and names that others made to point here, get nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from emulator_steps import ALICE, FILES, Raw

from drive_emulator import DriveEmulator
from drive_emulator.server import EmulatorServer


@pytest.mark.parametrize(
    "host", ["evil.example.com", "127.0.0.1.evil.com:80", "192.0.2.1", "[bad", "localhost.evil.com"]
)
def test_a_name_that_is_none_of_ours_is_refused(raw: Callable[..., Raw], host: str) -> None:
    answer = raw()("GET", FILES, headers={"Host": host})

    assert (answer.status, answer.reason) == (403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "app.localhost:1", "127.0.0.1:9", "127.8.8.8", "[::1]:80", "www.googleapis.com", "LOCALHOST."]
)
def test_loopback_and_googles_name_are_served(raw: Callable[..., Raw], host: str) -> None:
    assert raw()("GET", FILES, headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "file://", "http://192.0.2.1", "http://[bad"])
def test_a_page_of_another_machine_is_refused_and_changes_nothing(
    raw: Callable[..., Raw], emulator: DriveEmulator, origin: str
) -> None:
    answer = raw()("POST", FILES, {"name": "x"}, {"Origin": origin})

    assert (answer.status, emulator.files()) == (403, [])
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_this_machine_may_call_and_read(raw: Callable[..., Raw]) -> None:
    origin = {"Origin": "http://localhost:3000"}
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    preflight = raw(None)("OPTIONS", f"{FILES}/x", headers=origin | asked)
    answer = raw()("GET", FILES, headers=origin)

    assert (preflight.status, answer.status) == (200, 200)
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    assert {a.headers["Access-Control-Allow-Origin"] for a in (preflight, answer)} == {"http://localhost:3000"}
    assert answer.headers["Vary"] == "Origin"


def test_a_page_of_this_machine_may_read_what_an_upload_goes_on_with(raw: Callable[..., Raw]) -> None:
    protocol = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start", "Origin": "http://localhost"}
    begun = raw()("POST", f"/upload{FILES}", {"name": "x"}, protocol)

    exposed = {name.strip().lower() for name in begun.headers["Access-Control-Expose-Headers"].split(",")}
    told = {name.lower() for name in begun.headers if name.lower().startswith(("x-g", "location"))}
    assert len(told) == 5
    assert told <= exposed


def test_named_hosts_are_served() -> None:
    server = EmulatorServer(hosts=["drive.test"])
    server.start()
    try:
        connection = Raw(server.port, ALICE)
        named = {"Host": f"drive.test:{server.port}", "Origin": "https://drive.test"}
        assert connection("GET", FILES, headers=named).status == 200
        connection.close()
    finally:
        server.stop()


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ALICE, 403), ("½".encode().decode("latin-1"), 403)])
def test_the_control_plane_wants_its_token(raw: Callable[..., Raw], token: str | None, status: int) -> None:
    assert raw(token)("GET", "/emulator/files").status == status


def test_the_control_plane_answers_who_has_its_token(raw: Callable[..., Raw], emulator: DriveEmulator) -> None:
    assert raw(emulator.control_token)("GET", "/emulator/files").json == []


def test_whoever_binds_it_beyond_loopback_is_warned() -> None:
    command = [sys.executable, "-m", "drive_emulator", "--port", "0", "--host", "0.0.0.0", "--control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(3)]
        child.terminate()
        _, errors = child.communicate(timeout=20)

    assert lines[2].startswith("export DRIVE_EMULATOR_CONTROL=")
    assert errors == "warning: 0.0.0.0 is no loopback address: whoever reaches it can act as every account\n"
