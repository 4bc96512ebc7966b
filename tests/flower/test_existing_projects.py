"""Jobs of existing P2P projects: a ``main.py`` that a job runner starts on every account."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_federation import APPS, zoo_project

import syft_flwr
from syft_flwr.config import load_flwr_pyproject
from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower import die_with_parent
from syft_flwr.run import syftbox_run_flwr_client, syftbox_run_flwr_server
from syft_flwr.strategy import save_safetensors
from syft_flwr.testing import DriveEmulator

AGGREGATOR = "agg@example.com"
OWNERS = ["do1@example.com", "do2@example.com"]
NUMBERS = {"do1@example.com": [1.0, 2.0, 3.0], "do2@example.com": [10.0]}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    project = tmp_path / "job"
    shutil.copytree(APPS / "job", project, ignore=shutil.ignore_patterns("__pycache__"))
    return project


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, Path]:
    places = {}
    for email, numbers in NUMBERS.items():
        places[email] = tmp_path / "data" / email
        places[email].mkdir(parents=True)
        np.savetxt(places[email] / "numbers.csv", numbers)
    return places


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    kinds = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "BOOL": "?"}
    arrays = {}
    for name, entry in json.loads(content[8:start]).items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(content[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def check_models(output: Path) -> None:
    """The mean over both owners, weighted by how many numbers each has."""
    weights = output / "weights"
    assert sorted(path.name for path in weights.iterdir()) == [f"parameters_round_{n}.safetensors" for n in range(3)]
    assert read_safetensors(weights / "parameters_round_0.safetensors")["layer_0"] == [0.0]
    model = read_safetensors(weights / "parameters_round_2.safetensors")
    assert set(model) == {"layer_0", "layer_1"}
    assert model["layer_0"] == pytest.approx([4.0])


def test_a_main_py_trains_two_owners_and_saves_its_models(job: Path, datasets: dict[str, Path], tmp_path: Path) -> None:
    syft_flwr.bootstrap(job, AGGREGATOR, OWNERS, transport="p2p")
    with DriveEmulator() as emulator:
        started = []
        for email in [*OWNERS, AGGREGATOR]:
            environment = {
                "SYFTBOX_EMAIL": email,
                "DATA_DIR": str(datasets.get(email, tmp_path)),
                "OUTPUT_DIR": str(tmp_path / "outputs" / email),
                "DRIVE_EMULATOR_HOST": emulator.host,
                "SYFT_FLWR_STATE_DIR": str(tmp_path / "state"),
                "SYFT_FLWR_POLL_INTERVAL": "0.1",
            }
            command = [sys.executable, die_with_parent.__file__, str(os.getpid()), sys.executable, str(job / "main.py")]
            with (tmp_path / f"{email}.log").open("wb") as log:
                started.append(subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log))
        codes = [process.wait(90) for process in started]
    assert codes == [0, 0, 0], "\n".join(path.read_text() for path in tmp_path.glob("*.log"))
    check_models(tmp_path / "outputs" / AGGREGATOR)
    result = json.loads((tmp_path / "outputs" / AGGREGATOR / "result.json").read_text())
    assert [row["evaluate"]["loss"] for row in result["rounds"]] == pytest.approx([4.0, 4.0])


@pytest.mark.slow
def test_a_rehearsal_gives_each_owner_a_mock_dataset(
    job: Path, datasets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "outputs"))
    assert syft_flwr.run(job, list(datasets.values()))["directory"] == str(tmp_path / "outputs")
    check_models(tmp_path / "outputs")


@pytest.mark.slow
def test_simulate_gives_the_server_app_an_output_directory(
    job: Path, datasets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(datasets[OWNERS[1]]))
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(job), "--datasites", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    model = read_safetensors(tmp_path / "out" / "weights" / "parameters_round_2.safetensors")
    assert model["layer_0"] == [10.0]


def test_an_account_runs_its_own_role_only(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syft_flwr.bootstrap(job, AGGREGATOR, OWNERS)
    monkeypatch.delenv("SYFTBOX_EMAIL", raising=False)
    with pytest.raises(ConfigurationError, match="set SYFTBOX_EMAIL"):
        syftbox_run_flwr_client(job)
    monkeypatch.setenv("SYFTBOX_EMAIL", AGGREGATOR)
    with pytest.raises(ConfigurationError, match="has to call syftbox_run_flwr_server"):
        syftbox_run_flwr_client(job)
    monkeypatch.setenv("SYFTBOX_EMAIL", "somebody@example.com")
    with pytest.raises(ConfigurationError, match="takes no part"):
        syftbox_run_flwr_server(job)


def test_a_project_is_read_as_flower_reads_it(job: Path) -> None:
    for path in (job, str(job), job / "pyproject.toml"):
        assert load_flwr_pyproject(path)["tool"]["flwr"]["app"]["components"]["clientapp"] == "job.client_app:app"


@pytest.mark.parametrize(
    ("before", "after"),
    [('version = "1.0.0"', ""), ("job.client_app:app", "job.client_app"), ("job.client_app:app", "job.clients:app")],
)
def test_a_project_that_flower_finds_invalid_is_refused(job: Path, before: str, after: str) -> None:
    path = job / "pyproject.toml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(FlowerError, match="is no Flower project"):
        load_flwr_pyproject(job)


def test_arrays_of_every_kind_are_saved_and_others_are_named(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "turned": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
        "empty": np.zeros((0, 3)),
        "number": np.array(7, dtype=">i8"),
        "flags": np.array([True, False]),
    }
    save_safetensors(tmp_path / "model.safetensors", arrays)
    saved = read_safetensors(tmp_path / "model.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(saved[name], array)
    with pytest.raises(ValueError, match="words can't be saved"):
        save_safetensors(tmp_path / "words.safetensors", {"words": np.array(["a"])})


def test_a_mock_dataset_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such mock dataset"):
        syft_flwr.run(zoo_project(tmp_path, "fedavg", "plain"), [tmp_path / "nothing"])
