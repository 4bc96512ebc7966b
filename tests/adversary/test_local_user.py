"""Another user of the machine reads none of what a participant keeps, and puts nothing in its way."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from flower_fakes import Events, FakeDrive, FakeRpc
from flower_federation import Federation, zoo_project
from hostile import AGGREGATOR

from accounts import APP, DO, DS, owner, serving
from syft_flwr.drive.tokens import save_token
from syft_flwr.errors import CredentialsError, StateError
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.recorder import save_arrays
from syft_flwr.flower.report.saving import write_report
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.simulation import Simulation, SimulationPlan, owner_email
from syft_flwr.private import create_private, make_private_directory, open_private, write_private
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import Endpoint
from syft_flwr.testing import DriveEmulator


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(directory: Path) -> list[str]:
    """Name the files and directories at and below a directory that are not for their owner alone."""
    return [
        f"{path} {stat.filemode(path.lstat().st_mode)}"
        for path in [directory, *directory.rglob("*")]
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]


def test_state_bodies_and_recordings_are_for_their_owner_alone(
    umask: None, drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_RECORD_DIR", str(tmp_path / "recordings" / "deep"))
    with serving(owner(lambda body: body * 2)), P2PFileRpc(DS, APP, quota_units_per_day=100_000) as rpc:
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x" * 50_000)], 20)
        assert open_to_others(tmp_path / "state") == []
        assert open_to_others(tmp_path / "recordings") == []


def test_results_reports_and_what_an_owner_keeps_are_for_their_owner_alone(umask: None, tmp_path: Path) -> None:
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain", rounds=1))
    project.directory.chmod(0o700)
    federation = Federation(FakeDrive(), project, tmp_path / "owners", 2)
    federation.start()
    try:
        aggregation = federation.aggregate(tmp_path / "out" / "run", Events())
        result, _ = aggregation.save({"bill": {}, "error": ""})
    finally:
        federation.close()
    write_report(result, tmp_path / "reports" / "report.html")
    for name in ("out", "reports", "owners"):
        assert open_to_others(tmp_path / name) == []


def test_files_that_were_open_to_others_are_closed(tmp_path: Path) -> None:
    for make in (
        lambda path: write_private(path, b"x"),
        lambda path: create_private(path).close(),
        lambda path: save_arrays(path, iter([("w", np.zeros(1))])),
    ):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        path.chmod(0o666)
        make(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_in_a_files_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for make in (lambda path: write_private(path, b"x"), lambda path: create_private(path).close()):
        path = tmp_path / "file"
        path.symlink_to(victim)
        try:
            make(path)
        except OSError:
            path.unlink()
        assert victim.read_bytes() == b"precious"
        path.unlink(missing_ok=True)


def test_a_state_directory_that_is_a_link_is_refused(drive: DriveEmulator, tmp_path: Path) -> None:
    DriveRuntime.open(DO).close()
    [state] = (tmp_path / "state" / "emulators").glob("*/*")
    for name in (".", "ledger", "bodies", "holders"):
        place = state if name == "." else state / name
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StateError, match="symbolic link"):
            DriveRuntime.open(DO)
        place.unlink()
        (tmp_path / "elsewhere").rename(place)
    DriveRuntime.open(DO).close()


def test_a_state_directory_of_somebody_else_is_refused(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DriveRuntime.open(DO).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(StateError, match="belongs to another user"):
            DriveRuntime.open(DO)
        with pytest.raises(StateError, match="belongs to another user"):
            RunStore(tmp_path / "state")
        with pytest.raises(CredentialsError, match="belongs to another user"):
            save_token(Endpoint("http://127.0.0.1:1", None, is_emulator=True), DO, {})
    DriveRuntime.open(DO).close()


def test_what_decides_something_is_read_from_this_users_own_files_only(tmp_path: Path) -> None:
    directory = make_private_directory(tmp_path / "own")
    write_private(directory / "file", b"{}")
    os.mkfifo(directory / "pipe", 0o600)
    with open_private(directory / "file") as file:
        assert json.loads(file.read()) == {}
    with pytest.raises(StateError, match="no directory and no file"):
        open_private(directory / "pipe")
    with pytest.raises(FileNotFoundError):
        open_private(directory / "nothing")


def test_an_interrupted_run_leaves_nothing_open_to_others(umask: None, tmp_path: Path) -> None:
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain", rounds=1))
    plan = RunPlan((DO,), {}, tmp_path / "out", patience=0.0, farewell=0.0)
    aggregation = Aggregation(project, plan, Events())
    with pytest.raises(Exception, match="only 0 of 1"):
        aggregation.run(FakeRpc(FakeDrive(), AGGREGATOR))
    aggregation.save({"bill": {}, "error": "x"})
    assert open_to_others(tmp_path / "out") == []


def test_another_user_of_the_machine_can_not_read_the_drive_of_a_simulation(tmp_path: Path) -> None:
    plan = SimulationPlan(tmp_path, tmp_path / "out", 1)
    with Simulation(plan, lambda _event, **_fields: None) as simulation:
        host = simulation._start_emulator([owner_email(1)])
        connection = HTTPConnection(host, timeout=10.0)
        connection.request("GET", "/drive/v3/files", headers={"Authorization": f"Bearer {owner_email(1)}"})
        assert connection.getresponse().status == 401
        connection.close()
        assert simulation._token_file(owner_email(1)).stat().st_mode & 0o777 == 0o600
