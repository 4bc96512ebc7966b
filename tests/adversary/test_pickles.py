"""A pickle in any table or file of our state runs nothing: whoever can write there still can't run code as us."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from flower_federation import zoo_project
from hostile import AGGREGATOR

from accounts import APP, DO, DS, owner, serving
from syft_flwr.cli.consent import Consent
from syft_flwr.errors import SyftFlwrError
from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.run_store import RunStore, RunTag
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator


class Bomb:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def test_the_bomb_of_these_tests_goes_off_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "victim")))
    assert (tmp_path / "victim").exists()


@pytest.fixture
def state(drive: DriveEmulator, tmp_path: Path) -> Path:
    """State of an account that has asked, was asked, and served a run of Flower's."""
    with serving(owner(bytes.upper, email=DO)), P2PFileRpc(DS, APP) as rpc:
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x" * 30_000)], 20)
    with P2PFileRpc(DO, APP, quota_units_per_day=1_000_000) as rpc:
        rpc.send(DS, APP, "messages", b"unanswered")
    return next(path for path in (tmp_path / "state" / "emulators").glob("*/*") if path.name.startswith(DO))


def use(drive: DriveEmulator) -> None:
    """Do all that reads the state; what is damaged may be refused."""
    with suppress(SyftFlwrError), DriveRuntime.open(DO, quota_units_per_day=1_000_000) as runtime:
        runtime.poll_once()
        runtime.drain(5)


def tables(state: Path) -> list[tuple[Path, str, str]]:
    found = []
    for database in sorted(state.glob("*/cache.db")):
        with closing(sqlite3.connect(database)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found += [
                (database, name, column[1])
                for name in names
                for column in connection.execute(f"PRAGMA table_info({name})")
            ]
    return found


def test_a_pickle_in_every_column_of_every_table_runs_nothing(
    drive: DriveEmulator, state: Path, tmp_path: Path
) -> None:
    victim, sound = tmp_path / "victim", tmp_path / "sound"
    shutil.copytree(state, sound)
    places = tables(state)
    assert {name for _, name, _ in places} >= {"Cache", "Settings"}
    DriveRuntime.open(DO).close()  # sound as yet
    for database, table, column in places:
        shutil.rmtree(state)
        shutil.copytree(sound, state)
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (pickle.dumps(Bomb(victim)),))
            if column == "value" and table == "Cache":
                connection.execute("UPDATE Cache SET mode = 4, raw = 0")
        use(drive)
        assert not victim.exists(), (database.parent.name, table, column)
        for aside in state.parent.glob(f"{state.name}*damaged*"):
            shutil.rmtree(aside)


def test_a_pickle_in_every_file_runs_nothing(drive: DriveEmulator, state: Path, tmp_path: Path) -> None:
    victim, sound = tmp_path / "victim", tmp_path / "sound"
    shutil.copytree(state, sound)
    files = [path.relative_to(state) for path in state.rglob("*") if path.is_file()]
    assert len(files) > 5
    for name in files:
        shutil.rmtree(state)
        shutil.copytree(sound, state)
        (state / name).write_bytes(pickle.dumps(Bomb(victim)))
        use(drive)
        assert not victim.exists(), name


def test_a_pickle_in_what_is_kept_of_a_run_runs_nothing(drive: DriveEmulator, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    bomb = pickle.dumps(Bomb(victim))
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain"))
    consent = Consent(project, Parties(AGGREGATOR, (DO,)), DO, auto_approve=False, sandboxed=False)
    consent.ask(project.code_hash(), {})
    store = RunStore(tmp_path / "state" / "runs")
    store.set_current(RunTag(7, 1.0))
    store.save(7, "m", b"context", b"reply")
    (tmp_path / "state" / "journal").write_bytes(b"")

    def read_all() -> None:
        for read in (store.current, lambda: store.context(7), lambda: store.reply_to(7, "m")):
            with suppress(SyftFlwrError):
                read()
        with suppress(SyftFlwrError, ValueError), RunJournal(tmp_path / "state" / "journal") as journal:
            journal.earlier()
        with suppress(SyftFlwrError):
            consent.ask(None, {})

    for path in [path for path in (tmp_path / "state").rglob("*") if path.is_file()]:
        before = path.read_bytes()
        path.write_bytes(bomb)
        read_all()
        path.write_bytes(before)
        assert not victim.exists(), path


def test_no_code_of_ours_unpickles() -> None:
    sources = [*Path(__file__).parents[2].glob("src/**/*.py")]
    assert sources
    for source in sources:
        text = source.read_text()
        assert "import pickle" not in text, source
        assert "allow_pickle=True" not in text, source
