"""What differs over TLS, which real Drive always speaks: the connection's class, and breaking it off."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import google.oauth2.credentials
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scripted import ME, RESET, Answer, ScriptedServer

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import DriveUnavailableError, RuntimeClosedError
from syft_flwr.testing.clock import ManualClock

TOKEN = Answer(200, {"startPageToken": "7"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself; return its file and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert.pem", directory / "key.pem"


@pytest.fixture
def tls_server(certificate: tuple[Path, Path]) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = ScriptedServer(context)
    yield server
    server.close()


@pytest.fixture
def gateway(tls_server: ScriptedServer, clock: ManualClock) -> Iterator[HttpDriveGateway]:
    gateway = HttpDriveGateway(
        tls_server.endpoint, google.oauth2.credentials.Credentials(token=ME), clock=clock, timeout=10.0
    )
    yield gateway
    gateway.close()


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))


@pytest.mark.usefixtures("trusted")
def test_calls_and_downloads_go_over_kept_tls_connections(
    tls_server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    body = bytes(3_000_000)
    tls_server.script(TOKEN, Answer(200, body), TOKEN)
    gateway.get_start_page_token()
    gateway.download("f", tmp_path / "down", size=len(body), sha256=None)
    gateway.get_start_page_token()
    assert (tmp_path / "down").read_bytes() == body
    assert tls_server.connections == 1


@pytest.mark.usefixtures("trusted")
def test_a_lost_answer_is_not_resent_behind_the_meters_back(
    tls_server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    tls_server.script(TOKEN, RESET, TOKEN)
    gateway.get_start_page_token()
    gateway.get_start_page_token()
    assert gateway.meter.snapshot().calls == len(tls_server.requests) == 3


@pytest.mark.usefixtures("trusted")
def test_close_breaks_off_a_call_that_hangs(tls_server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    released, raised = threading.Event(), []

    def call() -> None:
        try:
            gateway.get_start_page_token()
        except RuntimeClosedError as error:
            raised.append(error)

    tls_server.script(Answer(200, TOKEN.body, before=lambda: released.wait(20)))
    thread = threading.Thread(target=call)
    thread.start()
    assert tls_server.arrived.acquire(timeout=5)
    gateway.close()
    thread.join(5)
    released.set()
    assert len(raised) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    tls_server.script(TOKEN)
    with pytest.raises(DriveUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        gateway.get_start_page_token()
    assert not tls_server.requests
