"""Certificates for ``--tls``: a CA made anew at each start, whose key is forgotten at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drive_emulator.hosts import GOOGLES_HOSTS

_LIFE = timedelta(days=365)


def write_certificates(directory: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """Write ``ca.pem``, which clients shall trust, and ``server.pem``, its certificate and key; return both paths.

    The server is known by these hosts, loopback's and Google's. The directory is made if need be, for its owner only.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Drive emulator, for tests")])
    issued = _begin(authority, authority, authority_key, authority_key)
    issued = issued.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    trusted = issued.add_extension(usage, critical=True).sign(authority_key, hashes.SHA256())

    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", *GOOGLES_HOSTS, *hosts))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    server = _begin(authority, subject, authority_key, key)
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    certificate = server.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    paths = directory / "ca.pem", directory / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for path, content in zip(paths, (trusted.public_bytes(Encoding.PEM), certificate + private), strict=True):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return paths


def _begin(
    issuer: x509.Name, subject: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
