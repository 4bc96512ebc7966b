"""What only the store on disk has: files, other processes, and a database below."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import psutil
import pytest
from diskcache.core import DEFAULT_SETTINGS, METADATA

from syft_flwr.errors import StateError
from syft_flwr.state.damage import DirectoryLock, set_aside_if_damaged
from syft_flwr.state.store import _SCAN, DiskStore, _DiskSession


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "account" / "ledger"


@pytest.fixture
def store(directory):
    opened = DiskStore(directory)
    yield opened
    opened.close()


def test_what_was_written_is_there_after_reopening(directory):
    with closing(DiskStore(directory)) as store:
        store.transact(lambda tx: tx.put("cursor", "17"))
    with closing(DiskStore(directory)) as store:
        assert store.transact(lambda tx: tx.get("cursor")) == "17"
        assert store.recovered is None


def test_only_the_owner_can_read_the_state_whatever_the_umask(directory):
    old = os.umask(0)
    try:
        with closing(DiskStore(directory)) as store:
            store.transact(lambda tx: tx.put("a", 1))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    finally:
        os.umask(old)

    assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.with_name("ledger.lock").stat().st_mode) == 0o600


def test_state_that_was_open_to_others_is_closed(directory):
    DiskStore(directory).close()
    directory.chmod(0o755)
    (directory / "cache.db").chmod(0o644)

    DiskStore(directory).close()

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "cache.db").stat().st_mode) == 0o600


def test_every_commit_is_synced_and_nothing_is_evicted_or_kept_in_files(store, directory):
    large = "x" * 3_000_000

    def pragmas(tx):
        tx.put("large", large)
        sql = tx._connection.execute
        return [sql(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "mmap_size")]

    assert store.transact(pragmas) == ["wal", 2, 0]
    assert store.transact(
        lambda tx: tx._connection.execute("SELECT value FROM Settings WHERE key = 'eviction_policy'").fetchall()
    ) == [("none",)]
    assert store.transact(lambda tx: tx.get("large")) == large
    assert {path.name for path in directory.iterdir()} == {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_a_scan_is_served_by_the_index_on_keys(store):
    def plan(tx):
        return tx._connection.execute(f"EXPLAIN QUERY PLAN {_SCAN}", ("a", "b", -1)).fetchall()

    [step] = [row[-1] for row in store.transact(plan)]
    assert step == "SEARCH Cache USING INDEX Cache_key_raw (key>? AND key<?)"


def test_another_process_that_holds_the_database_is_waited_for_but_not_for_ever(directory):
    with (
        closing(DiskStore(directory, busy_timeout=0.05)) as store,
        closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="database is locked"):
            store.transact(lambda tx: tx.put("a", 1))
        other.execute("COMMIT")

        store.transact(lambda tx: tx.put("a", 2))
        assert store.transact(lambda tx: tx.get("a")) == 2


def test_a_full_disk_undoes_the_transaction_even_if_its_work_carries_on(store):
    def shrink(tx):
        sql = tx._connection.execute
        pages = sql("PRAGMA page_count").fetchone()[0]
        sql(f"PRAGMA max_page_count = {pages + 4}")

    def large(tx):
        tx.put("before", 1)
        tx.put("large", "x" * 1_000_000)
        return "done"

    def stubborn(tx):
        large(tx)
        with pytest.raises(StateError, match="full"):
            tx.scan("")
        with pytest.raises(StateError):
            tx.put("after", 1)
        return "done"

    store.transact(lambda tx: tx.put("old", 1))
    store.transact(shrink)
    for work in (large, stubborn):
        with pytest.raises(StateError, match="full"):
            store.transact(work)

    assert store.transact(lambda tx: list(tx.scan(""))) == [("old", 1)]
    store.transact(lambda tx: tx.put("small", 1))
    assert store.transact(lambda tx: tx.get("small")) == 1


def test_a_commit_that_fails_leaves_no_transaction_behind(directory):
    directory.mkdir(parents=True)
    session = _DiskSession(directory, 1.0)
    sql = session._connection.execute
    sql("PRAGMA foreign_keys = ON")
    sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    sql("CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")

    def fail_at_commit(tx):
        tx.put("a", 1)
        sql("INSERT INTO child VALUES (1)")

    with pytest.raises(StateError, match="FOREIGN KEY"), session.group():
        session.attempt(fail_at_commit)
    with session.group():
        session.attempt(lambda tx: tx.put("b", 2))
    with session.group():
        assert session.attempt(lambda tx: list(tx.scan(""))) == [("b", 2)]
    session.close()


def test_a_database_that_can_not_be_set_up_is_closed_again(directory):
    directory.mkdir(parents=True)
    with closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        connection.execute("CREATE TABLE Settings (key TEXT, value CHECK (value IS NULL))")

    with pytest.raises(StateError, match="CHECK"):
        DiskStore(directory)

    assert not [file for file in psutil.Process().open_files() if str(directory) in file.path]


def test_a_path_that_diskcache_would_expand_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", "/elsewhere")

    with pytest.raises(StateError, match="variable"):
        DiskStore(tmp_path / "$ELSEWHERE")
    with closing(DiskStore(tmp_path / "a$b~%20 ä")) as store:
        store.transact(lambda tx: tx.put("a", 1))
    assert (tmp_path / "a$b~%20 ä" / "cache.db").exists()


def test_a_directory_that_can_not_be_made_is_a_state_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    for path in (tmp_path / "file" / "ledger", tmp_path / "file"):
        with pytest.raises(StateError, match="file"):
            DiskStore(path)


FORGETFUL = """
import sys
from pathlib import Path
from syft_flwr.state.store import DiskStore
store = DiskStore(Path(sys.argv[1]))
store.transact(lambda tx: tx.put("a", 1))
"""


def test_a_store_that_nobody_closes_keeps_no_interpreter_from_exiting_and_loses_nothing(directory):
    run = [sys.executable, "-c", FORGETFUL, str(directory)]
    ended = subprocess.run(run, timeout=60, capture_output=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, b"")
    with closing(DiskStore(directory)) as store:
        assert store.transact(lambda tx: tx.get("a")) == 1


def test_directories_on_the_way_are_made_for_the_owner_alone_and_existing_ones_left_as_they_are(tmp_path):
    tmp_path.chmod(0o755)
    DiskStore(tmp_path / "root" / "account" / "ledger").close()

    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in (".", "root", "root/account")]
    assert modes == [0o755, 0o700, 0o700]


COUNTING = """
import sys
from pathlib import Path
from syft_flwr.state.store import DiskStore
store = DiskStore(Path(sys.argv[1]))
def add_one(tx):
    tx.put("count", (tx.get("count") or 0) + 1)
for _ in range(25):
    store.transact(add_one)
store.close()
"""


def test_increments_of_several_processes_that_open_the_store_at_once_are_all_counted(directory):
    children = [subprocess.Popen([sys.executable, "-c", COUNTING, str(directory)]) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4

    with closing(DiskStore(directory)) as store:
        assert store.transact(lambda tx: tx.get("count")) == 100
        assert store.recovered is None


BESIDE = """
import sys
from pathlib import Path
from syft_flwr.state.store import DiskStore
store = DiskStore(Path(sys.argv[1]))
store.transact(lambda tx: tx.put("there", "written"))
print("written", flush=True)
sys.stdin.readline()
print(store.transact(lambda tx: tx.get("here")), flush=True)
store.close()
"""


def test_a_store_that_is_opened_and_closed_beside_another_leaves_that_one_its_locks(store, directory):
    store.transact(lambda tx: tx.put("here", "begun"))
    DiskStore(directory).close()  # a file that is closed gives up all locks that its process has on it
    command = [sys.executable, "-c", BESIDE, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "written\n"
        seen = store.transact(lambda tx: tx.get("there"))
        store.transact(lambda tx: tx.put("here", "done"))
        told, _ = child.communicate("go on\n", timeout=60)
    assert (seen, told) == ("written", "done\n")


STORM = """
import sys, threading
from pathlib import Path
from syft_flwr.state.store import DiskStore
store = DiskStore(Path(sys.argv[1]))
first = int(sys.argv[2])
lock = threading.Lock()
def storm(thread):
    for number in range(first + thread, 10**9, 4):
        def work(tx):
            tx.put(f"a/{number:09}", number)
            tx.put(f"b/{number:09}", "x" * 500)
        store.transact(work)
        with lock:
            print(number, flush=True)
for thread in range(4):
    threading.Thread(target=storm, args=(thread,)).start()
"""


def test_a_killed_process_loses_nothing_it_acknowledged_and_leaves_no_half(directory):
    acknowledged = set()
    for run in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", STORM, str(directory), str(run * 100_000)], stdout=subprocess.PIPE, text=True
        )
        acknowledged |= {int(child.stdout.readline()) for _ in range(random.Random(run).randrange(1, 200))}
        child.kill()
        rest, _ = child.communicate(timeout=30)
        acknowledged |= {int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")}

        with closing(DiskStore(directory)) as store:
            assert store.recovered is None
            numbers = {number for _, number in store.transact(lambda tx: tx.scan("a/"))}
            halves = {int(key[2:]) for key, _ in store.transact(lambda tx: tx.scan("b/"))}
        assert acknowledged <= numbers
        assert numbers == halves


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def plant(directory, **columns):
    row = {"key": "cursor", "raw": 1, "mode": 1, "filename": None, "value": '"17"', "store_time": 0.0} | columns
    query = f"INSERT OR REPLACE INTO Cache ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    with closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        connection.execute(query, list(row.values()))


def bomb(target):
    import pickle

    return pickle.dumps(Bomb(target))


PLANTED = {
    "a pickle": lambda victim: {"mode": 4, "value": bomb(victim)},
    "a pickle in a file": lambda _: {"mode": 4, "value": None, "filename": "bomb.val"},
    "a file elsewhere": lambda _: {"mode": 2, "value": None, "filename": "../precious"},
    "a pickled key": lambda victim: {"key": bomb(victim), "raw": 0},
    "bytes": lambda _: {"value": b"17"},
    "a number": lambda _: {"value": 17},
    "no JSON": lambda _: {"value": "{17"},
    "JSON of the depths": lambda _: {"value": "[" * 100_000},
    "a row that expires": lambda _: {"expire_time": 1.0},
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_row_runs_nothing_and_has_the_state_set_aside(directory, tmp_path, caplog, what):
    victim = tmp_path / "victim"
    DiskStore(directory).close()
    (directory / "bomb.val").write_bytes(bomb(victim))
    plant(directory, **PLANTED[what](victim))

    with caplog.at_level(logging.WARNING), closing(DiskStore(directory)) as store:
        assert store.transact(lambda tx: list(tx.scan(""))) == []
        assert store.recovered.parent == directory.parent
        assert store.recovered.name.startswith("ledger.damaged-")
        assert (store.recovered / "cache.db").exists()

    assert not victim.exists()
    assert "set aside" in caplog.text
    assert str(directory) in caplog.text


@pytest.mark.parametrize("what", ["a pickle", "a pickle in a file", "a file elsewhere", "bytes", "no JSON"])
def test_a_row_planted_under_an_open_store_runs_nothing_reads_nothing_and_deletes_nothing(
    store, directory, tmp_path, what
):
    victim, precious = tmp_path / "victim", directory.parent / "precious"
    precious.write_text('"secret"')
    (directory / "bomb.val").write_bytes(bomb(victim))
    plant(directory, **PLANTED[what](victim))

    for read in (lambda tx: tx.get("cursor"), lambda tx: list(tx.scan("cur"))):
        with pytest.raises(StateError, match="JSON"):
            store.transact(read)
    store.transact(lambda tx: tx.put("cursor", 1))
    assert store.transact(lambda tx: tx.get("cursor")) == 1
    plant(directory, **PLANTED[what](victim))
    store.transact(lambda tx: tx.delete("cursor"))

    assert not victim.exists()
    assert precious.exists()


def test_a_setting_that_would_become_an_attribute_has_the_state_set_aside(directory):
    DiskStore(directory).close()
    with closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        connection.execute("INSERT INTO Settings VALUES ('_disk', 'x')")

    with closing(DiskStore(directory)) as store:
        assert store.recovered is not None


def fill(directory, rows=2000):
    with closing(DiskStore(directory)) as store:
        store.transact(lambda tx: [tx.put(f"k/{n}", "x" * 100) for n in range(rows)])
    return directory / "cache.db"


def test_a_truncated_database_is_set_aside_and_kept(directory):
    database = fill(directory)
    os.truncate(database, database.stat().st_size // 2)

    with closing(DiskStore(directory)) as store:
        assert (store.recovered / "cache.db").stat().st_size
        store.transact(lambda tx: tx.put("a", 1))

    with closing(DiskStore(directory)) as store:
        assert store.recovered is None
        assert store.transact(lambda tx: list(tx.scan(""))) == [("a", 1)]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\x00" + bytes(5000)])
def test_a_file_that_is_no_database_is_set_aside_and_kept(directory, content):
    DiskStore(directory).close()
    (directory / "cache.db").write_bytes(content)

    with closing(DiskStore(directory)) as store:
        assert (store.recovered / "cache.db").read_bytes() == content


def test_state_that_is_damaged_twice_in_a_second_is_kept_twice(directory):
    places = set()
    for _ in range(3):
        DiskStore(directory).close()
        (directory / "cache.db").write_bytes(b"damaged" * 100)
        with closing(DiskStore(directory)) as store:
            places.add(store.recovered)

    assert len(places) == 3
    assert all((place / "cache.db").exists() for place in places)


def test_an_empty_database_is_no_damage(directory):
    directory.mkdir(parents=True)
    (directory / "cache.db").touch()

    with closing(DiskStore(directory)) as store:
        assert store.recovered is None


@pytest.mark.parametrize("seed", range(25))
def test_whatever_bytes_are_flipped_the_store_opens_and_works(directory, seed):
    database = fill(directory, rows=200)
    chance = random.Random(seed)
    content = bytearray(database.read_bytes())
    for _ in range(chance.choice([1, 5, 100])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    database.write_bytes(content)

    with closing(DiskStore(directory)) as store:
        rows = dict(store.transact(lambda tx: list(tx.scan(""))))
        store.transact(lambda tx: [tx.put(f"k/{n}", n) for n in range(300)])
        assert store.transact(lambda tx: len(list(tx.scan("k/")))) >= 300

    assert store.recovered or len(rows) == 200


def test_of_many_that_find_the_damage_at_once_one_sets_it_aside_and_all_share_the_new_state(directory):
    database = fill(directory)
    os.truncate(database, 10_000)
    stores, barrier = [], threading.Barrier(4)

    def open_store():
        barrier.wait(30)
        stores.append(DiskStore(directory))

    threads = [threading.Thread(target=open_store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    for number, store in enumerate(stores):
        store.transact(lambda tx, n=number: tx.put(f"k/{n}", n))
    assert [len(store.transact(lambda tx: list(tx.scan("k/")))) for store in stores] == [4] * 4
    assert sum(store.recovered is not None for store in stores) == 1
    assert len(list(directory.parent.glob("ledger.damaged-*"))) == 1
    for store in stores:
        store.close()


def test_state_that_another_process_has_just_replaced_is_not_set_aside_again(directory):
    DiskStore(directory).close()
    database = directory / "cache.db"
    healthy = database.read_bytes()
    database.write_bytes(b"damaged" * 100)

    class OvertakenLock(DirectoryLock):
        def try_alone(self):
            database.write_bytes(healthy)
            return super().try_alone()

    with closing(OvertakenLock(directory, 1.0)) as lock:
        assert set_aside_if_damaged(directory, lock, frozenset(DEFAULT_SETTINGS | METADATA)) is None
    assert database.read_bytes() == healthy


@pytest.mark.parametrize("table", ["Cache (something)", "Settings (key)"])
def test_a_foreign_database_is_set_aside(directory, table):
    directory.mkdir(parents=True)
    with closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        connection.execute(f"CREATE TABLE {table}")

    with closing(DiskStore(directory)) as store:
        assert store.recovered is not None


def test_damage_is_not_set_aside_under_a_process_that_uses_it(store, directory, monkeypatch):
    monkeypatch.setattr("syft_flwr.state.damage._IN_USE_SECONDS", 0.05)
    plant(directory, value=b"17")

    with pytest.raises(StateError, match="another process uses it"):
        DiskStore(directory)
    store.close()

    with closing(DiskStore(directory)) as new:
        assert new.recovered is not None


@pytest.mark.parametrize("replaced", [False, True])
def test_a_state_that_is_removed_or_replaced_while_in_use_is_not_written_any_more(tmp_path, replaced: bool) -> None:
    with closing(DiskStore(tmp_path / "ledger")) as store:
        store.transact(lambda tx: tx.put("key", 1))
        (tmp_path / "ledger").rename(tmp_path / "elsewhere")
        if replaced:  # by a backup, say, or by another process that found none
            DiskStore(tmp_path / "ledger").close()
        with pytest.raises(StateError, match="removed or replaced"):
            store.transact(lambda tx: tx.put("key", 2))
