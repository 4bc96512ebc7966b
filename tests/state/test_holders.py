from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from syft_flwr.errors import StateError
from syft_flwr.state import holders
from syft_flwr.state.holders import Holder, is_alive

CHILD = """
import sys
from pathlib import Path
from syft_flwr.state.holders import Holder
holder = Holder(Path(sys.argv[1]))
print(holder.id, flush=True)
sys.stdin.read()
"""


def names_in(directory):
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def child(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate(timeout=30)


def test_a_holder_is_alive_in_its_own_process_until_it_is_closed(tmp_path):
    holder = Holder(tmp_path / "holders")
    assert is_alive(tmp_path / "holders", holder.id)

    holder.close()
    holder.close()

    assert not is_alive(tmp_path / "holders", holder.id)
    assert names_in(tmp_path / "holders") == {f"{holder.id}.closed"}


def test_two_holders_of_one_process_live_and_die_apart(tmp_path):
    first, second = Holder(tmp_path), Holder(tmp_path)

    first.close()

    assert not is_alive(tmp_path, first.id)
    assert is_alive(tmp_path, second.id)
    second.close()


def test_a_killed_process_is_dead_at_once_and_its_file_is_removed(tmp_path, child):
    holder_id = child.stdout.readline().strip()
    assert is_alive(tmp_path, holder_id)
    assert names_in(tmp_path) == {f"{holder_id}.lock"}

    child.kill()
    child.wait(30)

    assert not is_alive(tmp_path, holder_id)
    assert names_in(tmp_path) == set()


def test_a_stopped_process_is_not_dead(tmp_path, child):
    holder_id = child.stdout.readline().strip()
    os.kill(child.pid, signal.SIGSTOP)

    assert is_alive(tmp_path, holder_id)


def test_two_who_ask_at_once_do_not_take_each_other_for_the_holder(tmp_path):
    dead = "12-0123456789abcdef"
    with (tmp_path / f"{dead}.lock").open("w") as asked_by_another:
        holders.fcntl.flock(asked_by_another, holders.fcntl.LOCK_SH)

        assert not is_alive(tmp_path, dead)


def test_a_new_holder_clears_away_the_files_of_dead_ones(tmp_path, child):
    child.stdout.readline()
    child.kill()
    child.wait(30)
    living = Holder(tmp_path)

    new = Holder(tmp_path)

    assert names_in(tmp_path) == {f"{living.id}.lock", f"{new.id}.lock"}
    living.close()
    new.close()


FORKING = """
import os, sys
from pathlib import Path
from syft_flwr.state.holders import Holder
holder = Holder(Path(sys.argv[1]))
if os.fork() == 0:
    holder.close()
    print(holder.id, os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_a_forked_child_that_outlives_its_parent_does_not_keep_it_alive(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder_id, child_pid = parent.stdout.readline().split()
    assert is_alive(tmp_path, holder_id)

    parent.kill()
    parent.wait(30)
    dead = not is_alive(tmp_path, holder_id)
    os.kill(int(child_pid), 0)  # the child still runs
    parent.communicate(timeout=30)  # ends it

    assert dead


@pytest.mark.parametrize("holder_id", ["", "..", "../x", "1-0", "12-0123456789abcdef/..", "x-0123456789abcdef"])
def test_an_id_that_no_holder_has_is_dead_and_no_path(tmp_path, holder_id):
    (tmp_path / "x.lock").write_bytes(b"")

    assert not is_alive(tmp_path / "sub", holder_id)
    assert (tmp_path / "x.lock").exists()


def test_only_the_owner_can_open_a_holders_file(tmp_path):
    holder = Holder(tmp_path / "holders")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "holders", *(tmp_path / "holders").iterdir())]
    holder.close()

    assert modes == [0o700, 0o600]


def test_holders_that_come_while_others_clear_away_all_live(tmp_path):
    born, stop = [], threading.Event()

    def bear():
        born.extend(Holder(tmp_path) for _ in range(40))

    def clear():
        while not stop.is_set():
            for path in tmp_path.glob("*.lock"):
                is_alive(tmp_path, path.stem)

    bearers = [threading.Thread(target=bear) for _ in range(2)]
    clearers = [threading.Thread(target=clear) for _ in range(2)]
    for thread in (*bearers, *clearers):
        thread.start()
    for thread in bearers:
        thread.join(60)
    stop.set()
    for thread in clearers:
        thread.join(60)

    assert len({holder.id for holder in born}) == 80
    assert all(is_alive(tmp_path, holder.id) for holder in born)
    for holder in born:
        holder.close()


@pytest.mark.parametrize("meanwhile", ["removed", "locked"])
def test_a_file_taken_for_dead_before_it_was_locked_is_made_anew(tmp_path, monkeypatch, meanwhile):
    flock, seen = holders.fcntl.flock, []

    def race(descriptor, operation):
        if not seen:
            (path,) = tmp_path.iterdir()
            seen.append(path)
            if meanwhile == "removed":
                path.unlink()
            else:
                other = os.open(path, os.O_RDWR)
                seen.append(other)
                flock(other, holders.fcntl.LOCK_SH)
        flock(descriptor, operation)

    monkeypatch.setattr(holders.fcntl, "flock", race)
    holder = Holder(tmp_path)

    assert not seen[0].exists()
    assert is_alive(tmp_path, holder.id)
    holder.close()
    for descriptor in seen[1:]:
        os.close(descriptor)


def test_a_directory_that_can_not_be_made_is_a_state_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StateError, match="file"):
        Holder(tmp_path / "file" / "holders")


def test_a_holder_whose_file_somebody_removed_lives_on(tmp_path, child):
    own, holder_id = Holder(tmp_path), child.stdout.readline().strip()
    for path in tmp_path.iterdir():
        path.unlink()

    assert is_alive(tmp_path, own.id)
    assert is_alive(tmp_path, holder_id)

    own.close()
    child.kill()  # and not waited for: it is a zombie
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(tmp_path, holder_id)


def test_what_a_process_closed_stays_dead_as_long_as_it_runs_and_its_file_goes_with_it(tmp_path):
    program = CHILD.replace("sys.stdin.read()", "holder.close(); print(flush=True); sys.stdin.read()")
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        holder_id = process.stdout.readline().strip()
        process.stdout.readline()
        assert not is_alive(tmp_path, holder_id)
        process.stdin.close()

    with closing(Holder(tmp_path)) as mine:
        assert names_in(tmp_path) == {f"{mine.id}.lock"}


def test_a_copy_of_the_state_of_a_process_at_work_is_refused_until_that_process_is_gone(tmp_path, child):
    child.stdout.readline()
    copy = tmp_path / "copy" / "holders"
    shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("copy"))
    for _ in range(2):
        with pytest.raises(StateError, match=rf"copy is a copy of the state of process {child.pid}, which is at work"):
            Holder(copy)
    child.kill()
    child.wait()
    with closing(Holder(copy)) as holder:
        assert names_in(copy) == {f"{holder.id}.lock"}


def test_a_holder_that_cannot_leave_its_mark_gives_up_its_leases_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, _: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    holder = Holder(tmp_path)
    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "rename", fails)
        holder.close()
    assert not is_alive(tmp_path, holder.id)
