"""restic over rclone: a repository of many small files that are written, listed, read and removed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from client_programs import Program, program

pytestmark = pytest.mark.clients


@pytest.fixture
def restic(environment: dict[str, str], tmp_path: Path) -> Program:
    cache = str(tmp_path / "cache")
    settings = {"RESTIC_REPOSITORY": "rclone:gd:backup", "RESTIC_PASSWORD": "secret", "RESTIC_CACHE_DIR": cache}
    return program("restic", environment | settings)


def test_a_backup_is_whole_comes_back_and_is_pruned(restic: Program, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "large").write_bytes(random.Random(3).randbytes(20_000_000))
    (ours / "small").write_text("as it was")
    restic("init")
    restic("backup", str(ours))
    (ours / "small").write_text("as it is")
    (ours / "large").unlink()
    restic("backup", str(ours))
    restic("check", "--read-data")

    restic("restore", "latest", "--target", str(tmp_path / "back"))
    restored = tmp_path / "back" / ours.relative_to("/")
    assert [(file.name, file.read_text()) for file in restored.iterdir()] == [("small", "as it is")]

    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    assert len(restic("snapshots", "--compact").splitlines()) < 8
