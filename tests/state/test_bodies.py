from __future__ import annotations

import os
import stat
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syft_flwr.errors import StateError
from syft_flwr.state.bodies import BodyFiles

DRIVE_ID = "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms"
HOSTILE = ["", ".", "..", "../up", "/etc/passwd", "a/b", "a\x00b", "~", "nul.", "ä", "x" * 129, "\ud800", "a.part"]


def names_in(directory):
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def bodies(tmp_path):
    return BodyFiles(tmp_path / "account" / "bodies")


def age(path, seconds):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_body_that_was_written_is_read_back(bodies):
    path = bodies.write(DRIVE_ID, b"\x00body")

    assert path == bodies.path(DRIVE_ID) == bodies.directory / DRIVE_ID
    assert bodies.read(DRIVE_ID) == path.read_bytes() == b"\x00body"
    assert bodies.names() == {DRIVE_ID}


def test_writing_again_replaces_the_body(bodies):
    bodies.write("id", b"long old body")
    bodies.write("id", b"new")

    assert bodies.read("id") == b"new"
    assert names_in(bodies.directory) == {"id"}


def test_only_the_owner_can_read_bodies_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        bodies = BodyFiles(tmp_path / "bodies")
        written = bodies.write("written", b"")
        partial = bodies.partial("downloaded")
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        downloaded = bodies.commit(partial, "downloaded")
    finally:
        os.umask(old)

    assert stat.S_IMODE(bodies.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (written, downloaded)} == {0o600}


def test_a_directory_that_was_open_to_others_is_closed(tmp_path):
    (tmp_path / "bodies").mkdir(mode=0o755)

    assert stat.S_IMODE(BodyFiles(tmp_path / "bodies").directory.stat().st_mode) == 0o700


def test_a_deleted_body_is_gone_and_deleting_it_again_is_no_error(bodies):
    bodies.write("id", b"x")
    bodies.delete("id")
    bodies.delete("id")

    assert bodies.names() == set()
    with pytest.raises(StateError, match="id") as caught:
        bodies.read("id")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_partial_file_is_no_body_until_it_is_committed(bodies):
    first, second = bodies.partial("id"), bodies.partial("id")
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    assert first != second
    assert bodies.names() == set()

    assert bodies.commit(second, "id") == bodies.path("id")

    assert bodies.read("id") == b"second"
    assert not second.exists()
    assert first.exists()


def test_a_write_that_fails_leaves_the_old_body_and_no_partial_file(bodies, monkeypatch):
    bodies.write("id", b"old")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StateError, match="No space left"):
        bodies.write("id", b"new")

    assert bodies.read("id") == b"old"
    assert names_in(bodies.directory) == {"id"}


def test_a_body_is_synced_before_it_gets_its_name_and_the_name_after(bodies, monkeypatch):
    seen = []
    sync = os.fsync

    def watch(descriptor):
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, bodies.path("id").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    bodies.write("id", b"x")

    assert seen == [("file", False), ("directory", True)]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_directory(bodies, name):
    path = bodies.write(name, b"body")

    assert path.parent == bodies.directory
    assert bodies.read(name) == b"body"
    assert bodies.names() == {path.name} == names_in(bodies.directory)
    assert bodies.sweep({name}, min_age=-1) == 0
    bodies.delete(name)
    assert not path.exists()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20) | st.sampled_from([*HOSTILE, DRIVE_ID]), unique=True, max_size=6))
def test_different_names_have_different_files(bodies, names):
    paths = {bodies.path(name) for name in names}

    assert len(paths) == len(names)
    assert all(path.parent == bodies.directory and not path.name.startswith(".") for path in paths)


def test_a_sweep_removes_old_leftovers_and_keeps_what_is_named_or_young(bodies):
    kept, dead, young = (bodies.write(name, b"x") for name in ("kept", "dead", "young"))
    broken, running = bodies.partial("a"), bodies.partial("b")
    for path in (kept, dead, broken):
        age(path, 7200)

    assert bodies.sweep({"kept", "absent"}) == 2

    assert set(bodies.directory.iterdir()) == {kept, young, running}


def test_sweeps_of_two_processes_do_not_trip_over_each_other(bodies):
    for number in range(200):
        age(bodies.write(f"id{number}", b""), 7200)
    counts = []
    threads = [threading.Thread(target=lambda: counts.append(bodies.sweep(set()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sum(counts) == 200
    assert bodies.names() == set()


def test_a_directory_that_can_not_be_made_is_a_state_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StateError, match="file"):
        BodyFiles(tmp_path / "file" / "bodies")
