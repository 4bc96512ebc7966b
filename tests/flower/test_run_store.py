from __future__ import annotations

import stat
from pathlib import Path

import pytest

from syft_flwr.errors import StateError
from syft_flwr.flower.run_store import RunStore, RunTag


def test_context_and_reply_are_kept_as_one_step(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    assert store.context(7) is None
    store.save(7, "m1", b"context 1\nwith a line", b"reply 1")
    store.save(7, "m2", b"context 2", b"reply 2")
    again = RunStore(tmp_path / "runs")
    assert again.context(7) == b"context 2"
    assert again.reply_to(7, "m2") == b"reply 2"
    assert again.reply_to(7, "m1") is None
    assert again.reply_to(8, "m2") is None


def test_a_crash_between_reply_and_context_leaves_the_step_before(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    store.save(7, "m1", b"context 1", b"reply 1")
    (tmp_path / "runs" / "7" / "reply").write_bytes(b"reply 2")  # the process died here
    assert store.context(7) == b"context 1"
    assert store.reply_to(7, "m2") is None


def test_the_run_that_is_served_survives_and_is_forgotten_when_it_ends(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    store.set_current(RunTag(7, 12.5))
    store.save(7, "m1", b"c", b"r")
    assert RunStore(tmp_path / "runs").current() == RunTag(7, 12.5)
    store.forget(7)
    assert store.current() is None
    assert store.context(7) is None


def test_runs_that_never_ended_do_not_pile_up(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    for run in range(30):
        store.set_current(RunTag(run, float(run)))
        store.save(run, "m", b"c", b"r")
    assert len([p for p in (tmp_path / "runs").iterdir() if p.is_dir()]) <= 21
    assert store.context(29) == b"c"


def test_what_it_writes_is_for_this_user_only(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    store.save(7, "m1", b"c", b"r")
    assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "runs" / "7" / "context").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["current", "7/context"])
def test_damage_is_told_with_the_file_to_delete(tmp_path: Path, name: str) -> None:
    store = RunStore(tmp_path / "runs")
    store.set_current(RunTag(7, 1.0))
    store.save(7, "m1", b"c", b"r")
    (tmp_path / "runs" / name).write_bytes(b"{")
    with pytest.raises(StateError, match="delete it"):
        _ = (store.current(), store.context(7))
