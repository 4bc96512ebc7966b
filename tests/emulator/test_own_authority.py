"""TLS with a CA of its own, and clients that know no host but Google's."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from emulator_steps import ALICE, FILES

from drive_emulator import DriveEmulator

HEADERS = {"Authorization": f"Bearer {ALICE}"}


@pytest.fixture(scope="module")
def secure() -> Iterator[DriveEmulator]:
    with DriveEmulator(tls=True) as emulator:
        yield emulator


def connect(emulator: DriveEmulator, host: str = "127.0.0.1", *, by: str | None = None) -> HTTPSConnection:
    """Connect as a client that trusts the emulator's CA, by its proxy if given."""
    context = ssl.create_default_context(cafile=emulator.ca_file)
    if by is None:
        return HTTPSConnection(host, emulator.port, timeout=30, context=context)
    proxy = urlsplit(by)
    connection = HTTPSConnection(proxy.hostname or "", proxy.port, timeout=30, context=context)
    connection.set_tunnel(host, 443)
    return connection


def status(connection: HTTPSConnection, path: str = FILES) -> int:
    try:
        connection.request("GET", path, headers=HEADERS)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_ca_vouches_for_it(secure: DriveEmulator, host: str) -> None:
    assert secure.url.startswith("https://")
    assert status(connect(secure, host)) == 200
    assert secure.stats()[ALICE]["files.list"]["calls"] >= 1


def test_who_does_not_trust_it_gets_no_connection(secure: DriveEmulator) -> None:
    connection = HTTPSConnection("127.0.0.1", secure.port, timeout=30, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        status(connection)


@pytest.mark.parametrize("host", ["www.googleapis.com", "oauth2.googleapis.com"])
def test_the_proxy_leads_from_googles_hosts_to_the_emulator(secure: DriveEmulator, host: str) -> None:
    assert status(connect(secure, host, by=secure.proxy)) == 200


def test_the_proxy_leads_nowhere_else(secure: DriveEmulator) -> None:
    with pytest.raises(OSError, match="403"):
        status(connect(secure, "example.com", by=secure.proxy))


def test_faults_reach_through_tls(secure: DriveEmulator) -> None:
    with secure.fault("reset", method="files.list", times=1), pytest.raises(OSError, match=r"reset|EOF|closed"):
        status(connect(secure))
    assert status(connect(secure)) == 200


def test_a_child_speaks_it_too_and_its_key_is_private(tmp_path: Path) -> None:
    with DriveEmulator(tls=True, process=True, data=tmp_path) as emulator:
        assert status(connect(emulator)) == 200
        assert status(connect(emulator, "accounts.google.com", by=emulator.proxy)) == 200

    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {
        "ca.pem": 0o600,
        "server.pem": 0o600,
    }


def test_hosts_prints_the_two_lines_that_lead_googles_clients_here() -> None:
    command = [sys.executable, "-m", "drive_emulator", "--port", "0", "--hosts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        first, *lines = [child.stdout.readline() for _ in range(3)]
        child.terminate()
        child.communicate(timeout=20)

    assert first.startswith("Drive emulator on https://127.0.0.1:")
    assert [line.partition("=")[0] for line in lines] == ["export HTTPS_PROXY", "export SSL_CERT_FILE"]
