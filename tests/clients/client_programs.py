"""How a test runs a client that is a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

Program = Callable[..., str]

_JAVA = [
    *("google-api-services-drive", "google-api-client", "google-api-client-jackson2", "google-http-client"),
    *("google-http-client-jackson2", "google-oauth-client", "jackson-core", "guava", "httpclient", "httpcore"),
    *("commons-logging", "commons-codec", "opencensus-api", "opencensus-contrib-http-util", "grpc-context"),
]


def program(name: str, environment: Mapping[str, str], *, where: Path | None = None) -> Program:
    """Return what runs a program to its end and returns what it printed."""
    assert shutil.which(name), f"{name} is not installed; tests/clients/install brings it"

    def run(*arguments: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(
            [name, *arguments], env=environment, input=stdin, capture_output=True, timeout=100, check=False, cwd=where
        )
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        return done.stdout.decode()

    return run


def java_libraries() -> str:
    """Return the class path of Java's Drive client and what it needs, as Debian packages them."""
    return ":".join(f"/usr/share/java/{name}.jar" for name in _JAVA)
