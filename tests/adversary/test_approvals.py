"""What a data owner approved is what runs: no file beside it, no shorter hash, no other config, no trick of print."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from flower_fakes import Events, FakeDrive, FakeRpc
from flower_federation import zoo_project
from hostile import AGGREGATOR
from test_owner import Owner, message
from test_printing import HOSTILE, assert_quiet
from typer.testing import CliRunner

from syft_flwr.cli.consent import Consent
from syft_flwr.cli.main import app
from syft_flwr.errors import ConfigurationError, FlowerError, StateError
from syft_flwr.flower._compat import Run, set_task_identity
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.consent import Approvals, ConsentRequest, matches, override_lines
from syft_flwr.flower.grid import FlowerGrid
from syft_flwr.flower.job import AppSpec, load_checked
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.project_files import read_files

OWNER = "do1@example.com"


@pytest.fixture
def project(tmp_path: Path) -> FlowerProject:
    return FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain"))


def request_for(project: FlowerProject) -> ConsentRequest:
    return ConsentRequest(project, project.code_hash(), AGGREGATOR, "flwr/zoo/messages")


@pytest.mark.parametrize(
    "place",
    [
        *(
            "weights.bin",
            "model.pkl",
            "zoo/config.json",
            "zoo/lib.dll",
            "a.pth",
            "Makefile",
            "venv/x.py",
            "x.egg-info/y",
        ),
        *("runs/payload.py", "zoo/runs/payload.py", "zoo/runs/data.bin", "zoo/__pycache__/payload.py"),
        *("runs/deep/payload.SO", "__pycache__/payload.so"),
    ],
)
def test_every_file_that_an_app_could_use_changes_the_hash(place: str, project: FlowerProject) -> None:
    before = project.code_hash()
    path = project.directory / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"one")
    added = project.code_hash()
    path.write_bytes(b"two")
    assert len({before, added, project.code_hash()}) == 3


def test_what_the_hash_does_not_cover_is_a_short_list_that_is_shown(project: FlowerProject) -> None:
    before = project.code_hash()
    for place in (".git/config", ".venv/lib/x.py", "runs/result.json", "zoo/__pycache__/clients.cpython-311.pyc"):
        path = project.directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"one")
    assert project.code_hash() == before
    shown = next(line for line in request_for(project).lines() if line.startswith("but not of"))
    for name in (".git", ".venv", "__pycache__", "runs"):
        assert name in shown


def test_directories_that_the_app_writes_into_are_named_in_the_project_and_shown(project: FlowerProject) -> None:
    with (project.directory / "pyproject.toml").open("a") as file:
        file.write('\n[tool.syft_flwr]\nwritten = ["cache"]\n')
    project = FlowerProject.load(project.directory)
    (project.directory / "cache").mkdir()
    before = project.code_hash()
    (project.directory / "cache" / "rows.bin").write_bytes(b"x")
    assert project.code_hash() == before
    assert "cache" in "".join(request_for(project).lines())
    (project.directory / "cache" / "code.py").write_bytes(b"x")
    assert project.code_hash() != before


@pytest.mark.parametrize("written", ['"cache"', '["."]', '["/"]', '[""]', "[1]", "7"])
def test_a_project_names_directories_of_its_own_as_written_or_is_refused(written: str, project: FlowerProject) -> None:
    with (project.directory / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.syft_flwr]\nwritten = {written}\n")
    with pytest.raises(ConfigurationError, match="must list directories"):
        FlowerProject.load(project.directory)


def test_data_behind_links_is_the_owners_and_code_behind_links_the_projects(
    project: FlowerProject, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (project.directory / "data").symlink_to(data)
    (project.directory / "rows.csv").symlink_to(tmp_path / "rows.csv")
    before = project.code_hash()
    (data / "huge.bin").write_bytes(b"x")
    (tmp_path / "rows.csv").write_bytes(b"x")
    assert project.code_hash() == before
    shown = next(line for line in request_for(project).lines() if line.startswith("but not of"))
    assert "data, rows.csv" in shown
    (data / "code.py").write_bytes(b"x")
    assert project.code_hash() != before


def test_a_file_that_cannot_be_read_is_told(project: FlowerProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FlowerError, match="can't be read"):
        project.code_hash()


def test_a_fifo_in_a_project_keeps_nobody_waiting(project: FlowerProject) -> None:
    before = project.code_hash()
    os.mkfifo(project.directory / "pipe")
    (project.directory / "loop").symlink_to(project.directory)
    (project.directory / "nowhere").symlink_to("/does/not/exist")
    assert project.code_hash() == before


@pytest.mark.parametrize("change", ["zoo/clients.py", "weights.bin", "zoo/new.py"])
def test_files_that_change_after_the_approval_do_not_run(change: str, project: FlowerProject) -> None:
    (project.directory / "weights.bin").write_bytes(b"approved")
    before = read_files(project.directory)
    spec = AppSpec(str(project.directory), project.client_app, project.code_hash(), before.hashes)
    with (project.directory / change).open("a") as file:
        file.write("\n# another\n")
    with pytest.raises(Exception, match=f"changed since .*{change}"):
        load_checked(spec)


def test_a_beginning_of_the_hash_approves_nothing(project: FlowerProject) -> None:
    asked = request_for(project)
    for given in (asked.code_hash[:12], asked.code_hash[:63], asked.code_hash + "0", "", "g" * 64, "\x1b[2J"):
        with pytest.raises(ConfigurationError, match="the whole hash") as error:
            matches(asked, given)
        assert_quiet(str(error.value))


def test_what_the_prompt_prints_is_quiet(project: FlowerProject) -> None:
    text = (project.directory / "pyproject.toml").read_text()
    escaped = "zo\\u001b[2Jo\\u202e\\nhash 000"
    (project.directory / "pyproject.toml").write_text(text.replace('"1.0.0"', f'"{escaped}"'))
    hostile = FlowerProject.load(project.directory)
    for line in [*request_for(hostile).lines(), *override_lines(hostile, {HOSTILE: HOSTILE})]:
        assert_quiet(line)


def test_a_run_config_that_the_owner_has_not_approved_runs_nothing(tmp_path: Path) -> None:
    owner = Owner(tmp_path, run_config={"epsilon": 1.0, "lr": 0.1}, lets_override=lambda _: False)
    reply = owner.send(message(), Stamp(run_started=1000.0, run_config={"epsilon": 999.0, "lr": 0.1}))
    assert reply is not None
    assert '{"epsilon": 999.0}' in reply.error.reason
    assert owner.apps.messages == []
    assert owner.progress.named("overrides") == [{"owner": OWNER, "run_config": {"epsilon": 999.0}}]
    plain = owner.send(message(2, run=8), Stamp(run_started=2000.0, run_config={"lr": 0.1, "unknown": 1}))
    assert plain is not None
    assert plain.has_content()


def test_the_owner_is_asked_once_for_each_run_config_and_its_own_values_need_no_approval(tmp_path: Path) -> None:
    asked: list[object] = []
    owner = Owner(
        tmp_path,
        run_config={"epsilon": 1.0, "lr": 0.1},
        run_overrides={"lr": 0.5},
        lets_override=lambda config: asked.append(dict(config)) or True,
    )
    for number in (1, 2):
        owner.send(message(number), Stamp(run_started=1000.0, run_config={"epsilon": 2.0, "lr": 9.0}))
    assert asked == [{"epsilon": 2.0}]
    assert owner.apps.configs[-1][1] == {"epsilon": 2.0, "lr": 0.5}


def test_the_aggregator_learns_at_the_greeting_what_was_not_approved(tmp_path: Path) -> None:
    drive, events = FakeDrive(), Events()
    owner = Owner(tmp_path, run_config={"epsilon": 1.0}, lets_override=lambda _: False)
    set_task_identity(7, 1)
    grid = FlowerGrid(FakeRpc(drive, AGGREGATOR), "x", [OWNER], Stamp(run_config={"epsilon": 999.0}), progress=events)
    grid.set_run(Run.create_empty(7))
    grid.greet()
    letter = drive.wait_for_request(OWNER)
    drive.answer(letter.future_id, owner.owner.handle(letter.body, letter.wire()) or b"")
    assert grid.presence.wait_for(1, 10.0)
    [told] = [event["reason"] for event in events.named("owner") if event["state"] == "differs"]
    assert "has not approved the run config" in told
    grid.close()


@pytest.fixture
def consent(project: FlowerProject, plain_environment: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Consent]:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    return lambda: Consent(project, Parties(AGGREGATOR, (OWNER,)), OWNER, auto_approve=False, sandboxed=False)


def test_an_approved_run_config_is_remembered_for_this_state_and_this_aggregator(
    consent: Callable[[], Consent], project: FlowerProject
) -> None:
    consent().ask(project.code_hash(), {"epsilon": 2.0})
    assert consent().lets_override({"epsilon": 2.0})
    assert not consent().lets_override({"epsilon": 2})
    assert not consent().lets_override({"epsilon": 2.0, "lr": 1.0})
    (project.directory / "more.txt").write_text("x")
    assert not consent().lets_override({"epsilon": 2.0})


def test_approvals_that_others_could_have_written_approve_nothing(
    consent: Callable[[], Consent], project: FlowerProject, tmp_path: Path
) -> None:
    consent().ask(project.code_hash(), {})
    [path] = (tmp_path / "state").glob("**/approvals/*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for place in (path, path.parent):
        place.chmod(0o777)
        with pytest.raises(StateError, match="can be written by others"):
            consent().ask(None, {})
        place.chmod(0o700)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(StateError, match="symbolic link"):
        consent().ask(None, {})
    path.unlink()
    with pytest.raises(ConfigurationError, match="not approved"):
        consent().ask(None, {})


@pytest.mark.parametrize(
    "content", ["[" * 200_000, "[]", '{"a": 1}', '{"a": {"b": 1}}', '{"a": {"b": {"overrides": 1}}}']
)
def test_damaged_approvals_approve_nothing(content: str, project: FlowerProject, tmp_path: Path) -> None:
    (tmp_path / "approvals").mkdir(mode=0o700)
    (tmp_path / "approvals" / "x.json").write_text(content)
    (tmp_path / "approvals" / "x.json").chmod(0o600)
    with pytest.raises(StateError, match="damaged"):
        Approvals(tmp_path / "approvals" / "x.json").covers(request_for(project))


def test_the_command_tells_the_hash_and_takes_the_whole_of_it_only(
    project: FlowerProject, plain_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    options = ["run", str(project.directory), "--email", OWNER, "--aggregator", AGGREGATOR, "--datasite", OWNER]
    done = CliRunner().invoke(app, options)
    assert f"--approve {project.code_hash()}" in done.output
    short = CliRunner().invoke(app, [*options, "--approve", project.code_hash()[:12]])
    assert short.exit_code == 1
    assert "64 hexadecimal digits" in short.output
