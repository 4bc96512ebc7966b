"""Other Drive clients, unmodified, against the emulator in the place of Google's hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_programs import Program, program

from drive_emulator import DriveEmulator

ME = "alice@example.com"
TOKEN = {"access_token": ME, "token_type": "Bearer", "expiry": "2099-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def google() -> Iterator[DriveEmulator]:
    with DriveEmulator(tls=True) as emulator:
        yield emulator


@pytest.fixture
def environment(google: DriveEmulator, tmp_path: Path) -> dict[str, str]:
    """Lead rclone, and what runs it, to an empty Drive that it calls ``gd:``."""
    google.reset()
    (tmp_path / "rclone.conf").touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HTTPS_PROXY": google.proxy or "",
        "SSL_CERT_FILE": str(google.ca_file),
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"),
        "RCLONE_CONFIG_GD_TYPE": "drive",
        "RCLONE_CONFIG_GD_SCOPE": "drive",
        "RCLONE_CONFIG_GD_TOKEN": json.dumps(TOKEN),
        "RCLONE_DRIVE_PACER_MIN_SLEEP": "1ms",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }


@pytest.fixture
def rclone(environment: dict[str, str]) -> Program:
    """Run rclone; whatever it reports as failed is an error."""
    return program("rclone", environment)
