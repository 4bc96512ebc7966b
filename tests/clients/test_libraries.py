"""Google's libraries for Node, Go, Java and Ruby, unmodified: each takes the same steps and tells what it saw."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import pytest
from client_programs import java_libraries, program

from drive_emulator import DriveEmulator

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent / "programs"
CONTENT = random.Random(4).randbytes(11 * 1024 * 1024 + 5)
SEEN = {
    "changes": 3,
    "content": "as it is",
    "found": 1,
    "large": hashlib.md5(CONTENT).hexdigest(),
    "listed": ["it's small.txt", "large.bin"],
    "me": "carol@example.com",
    "missing": "notFound",
    "removed": [True],
    "shared": ["bob@example.com", "carol@example.com"],
}


@pytest.fixture
def at(google: DriveEmulator, tmp_path: Path) -> list[str]:
    """Return the paths of a token file of Carol's and of a large file."""
    google.reset()
    (tmp_path / "large").write_bytes(CONTENT)
    return [str(google.write_token_file("carol@example.com", tmp_path / "token.json")), str(tmp_path / "large")]


def environment(google: DriveEmulator) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ca = str(google.ca_file)
    return {**kept, "HTTPS_PROXY": google.proxy or "", "SSL_CERT_FILE": ca, "NODE_EXTRA_CA_CERTS": ca}


def test_node_s_client(google: DriveEmulator, at: list[str]) -> None:
    node = program("node", environment(google))

    assert json.loads(node(str(HERE / "steps.mjs"), str(HERE), *at)) == SEEN


def test_go_s_client(google: DriveEmulator, at: list[str]) -> None:
    path = {"GOPATH": "/usr/share/gocode", "GO111MODULE": "off"}
    go = program("go", environment(google) | path)

    assert json.loads(go("run", str(HERE / "steps.go"), *at)) == SEEN
    assert google.stats()["carol@example.com"]["uploads.put"]["calls"] == 3


def test_java_s_client(google: DriveEmulator, at: list[str], tmp_path: Path) -> None:
    keytool = program("keytool", environment(google))
    trusted = [str(tmp_path / "trusted.p12"), "-storepass", "changeit"]
    keytool("-importcert", "-noprompt", "-file", str(google.ca_file), "-keystore", *trusted)
    proxy = (google.proxy or "").rpartition(":")[2]
    trust = [f"-Djavax.net.ssl.trustStore={trusted[0]}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    through = ["-Dhttps.proxyHost=127.0.0.1", f"-Dhttps.proxyPort={proxy}"]
    java = program("java", environment(google))

    assert json.loads(java(*trust, *through, "-cp", java_libraries(), str(HERE / "Steps.java"), *at)) == SEEN
    assert google.stats()["carol@example.com"]["uploads.put"]["calls"] == 5  # a session and its pieces for each upload


def test_ruby_s_client(google: DriveEmulator, at: list[str]) -> None:
    ruby = program("ruby", environment(google))

    assert json.loads(ruby(str(HERE / "steps.rb"), *at)) == SEEN
