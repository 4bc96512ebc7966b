from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.errors import ConfigurationError
from syft_flwr.flower import roles
from syft_flwr.flower.project import FlowerProject

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
PARTIES = ["--aggregator", "agg@example.com", "--datasite", "do1@example.com"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "output"))
    monkeypatch.delenv("SYFTBOX_EMAIL", raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Take down what an owner would serve instead of serving it."""
    served: list[Any] = []
    monkeypatch.setattr(
        roles, "run_owner", lambda project, parties, email, plan, *_, **__: served.append((email, plan))
    )
    return served


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["run", str(DIGITS), *arguments])


def test_an_owner_is_shown_what_would_run_and_nothing_runs_without_approval(served: list[Any]) -> None:
    done = run("--email", "do1@example.com", *PARTIES)
    assert done.exit_code == 1
    digest = FlowerProject.load(DIGITS).code_hash()
    for word in (digest, "digits.client_app:app", "agg@example.com", "flwr/digits/messages", "--auto-approve"):
        assert word in done.output
    assert served == []


def test_an_approved_hash_is_remembered(served: list[Any]) -> None:
    digest = FlowerProject.load(DIGITS).code_hash()
    wrong = run("--email", "do1@example.com", *PARTIES, "--approve", "0" * 64)
    assert wrong.exit_code == 1
    assert "another hash" in wrong.output
    for extra in (["--approve", digest.upper()], []):
        assert run("--email", "do1@example.com", *PARTIES, *extra).exit_code == 0
    assert [(email, plan.code_hash) for email, plan in served] == [("do1@example.com", digest)] * 2


def test_auto_approval_leaves_no_approval_behind(served: list[Any]) -> None:
    assert run("--email", "do1@example.com", *PARTIES, "--auto-approve").exit_code == 0
    assert [plan.code_hash for _, plan in served] == [""], "whatever is here may run, also when it changes"
    assert run("--email", "do1@example.com", *PARTIES).exit_code == 1


def test_the_owners_own_configuration_reaches_the_plan(served: list[Any]) -> None:
    options = ["--node-config", 'partition-id=2 path="/data"', "--run-config", "seed=3", "--in-process"]
    assert run("--email", "DO1@example.com", *PARTIES, "--auto-approve", *options).exit_code == 0
    ((_, plan),) = served
    assert plan.node_config == {"partition-id": 2, "path": "/data"}
    assert plan.run_overrides == {"seed": 3}
    assert plan.in_process


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (PARTIES, "SYFTBOX_EMAIL"),
        (["--email", "do9@example.com", *PARTIES], "takes no part"),
        (["--email", "do1@example.com"], "bootstrap"),
        (["--email", "agg@example.com", *PARTIES, "--min-available", "2"], "min_available is 2"),
        (["--email", "do1@example.com", *PARTIES, "--node-config", "x="], "--node-config can't be read"),
    ],
)
def test_mistakes_are_told_in_a_line(served: list[Any], arguments: list[str], word: str) -> None:
    done = run(*arguments, *([] if "agg@example.com" in arguments else ["--auto-approve"]))
    assert done.exit_code == 1
    assert word in done.output
    assert "Traceback" not in done.output


def test_one_process_only_serves_a_project_on_an_account(tmp_path: Path) -> None:
    project = FlowerProject.load(Path(shutil.copytree(DIGITS, tmp_path / "digits")))
    directory = roles.app_directory(project, "do1@example.com")
    with (
        roles._alone(directory, "this"),
        pytest.raises(ConfigurationError, match="another process serves this already"),
        roles._alone(directory, "this"),
    ):
        pass
