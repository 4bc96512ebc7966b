"""Bodies that are not what Drive's metadata say."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts import APP, DO, DS, Observed, messages, owner, serving, wait_until
from syft_flwr.errors import TransferError
from syft_flwr.exchange import work
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

GOOD, BAD = b"good " * 40_000, b"evil " * 40_000


@pytest.mark.usefixtures("plain_environment")
def test_a_body_with_a_wrong_checksum_is_given_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    monkeypatch.setattr(work, "PATIENCE_WITH_DAMAGE", 1.0)
    with DriveEmulator(data=tmp_path / "drive") as drive:
        monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
        with P2PFileRpc(DS, APP) as rpc:
            rpc.send(DO, APP, "messages", GOOD)
            assert damage(tmp_path / "drive") == 1
            fine = rpc.send(DO, APP, "messages", b"fine")
            with Observed(DO) as observed, serving(owner(lambda body: bodies.append(body) or GOOD)):
                wait_until(lambda: observed.rejected)
                assert observed.reasons() == ["damaged"]
                wait_until(lambda: len(messages(drive)) == 4)

            assert damage(tmp_path / "drive") == 1
            with pytest.raises(TransferError, match="SHA-256"):
                rpc.wait([fine], 20)
    assert bodies == [b"fine"]


def damage(directory: Path) -> int:
    """Change the stored content where it is the good one; return in how many files."""
    count = 0
    for path in directory.rglob("*"):
        if path.is_file() and path.read_bytes() == GOOD:
            path.write_bytes(BAD)
            count += 1
    return count
