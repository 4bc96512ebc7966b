from __future__ import annotations

from pathlib import Path

import pytest
from flower_federation import zoo_project

from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.flower.consent import Approvals, ConsentRequest, matches
from syft_flwr.flower.project import FlowerProject


@pytest.fixture
def project(tmp_path: Path) -> FlowerProject:
    return FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain"))


def request(project: FlowerProject, aggregator: str = "agg@example.com") -> ConsentRequest:
    return ConsentRequest(project, project.code_hash(), aggregator, "flwr/zoo/messages")


def test_an_approval_is_for_one_state_of_the_code_and_one_aggregator(project: FlowerProject, tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "approvals" / "zoo.json")
    assert not approvals.covers(request(project))
    approvals.approve(request(project))
    assert Approvals(tmp_path / "approvals" / "zoo.json").covers(request(project, "AGG@example.com"))
    assert not approvals.covers(request(project, "other@example.com"))
    approvals.approve(request(project, "mark@example.com"))
    assert not approvals.covers(request(project, "mar\u212a@example.com")), "a letter that only looks like k"
    (project.directory / "zoo" / "helper.py").write_text("x = 1\n")
    assert not approvals.covers(request(project))


def test_the_hash_is_of_files_behind_links_too(project: FlowerProject, tmp_path: Path) -> None:
    before = project.code_hash()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "code.py").write_text("x = 1")
    (project.directory / "linked").symlink_to(tmp_path / "elsewhere")
    linked = project.code_hash()
    assert linked != before
    (tmp_path / "elsewhere" / "code.py").write_text("x = 2")
    assert project.code_hash() != linked


def test_the_whole_hash_names_what_is_approved(project: FlowerProject) -> None:
    asked = request(project)
    assert matches(asked, asked.code_hash.upper())
    assert not matches(asked, "0" * 64)
    with pytest.raises(ConfigurationError, match="the whole hash"):
        matches(asked, asked.code_hash[:63])


def test_damaged_approvals_approve_nothing(project: FlowerProject, tmp_path: Path) -> None:
    (tmp_path / "approvals").mkdir(mode=0o700)
    (tmp_path / "approvals" / "zoo.json").write_text("[")
    with pytest.raises(StateError, match="damaged"):
        Approvals(tmp_path / "approvals" / "zoo.json").covers(request(project))


def test_the_request_says_what_will_run_and_who_asks(project: FlowerProject) -> None:
    text = "\n".join(request(project).lines())
    for word in ("zoo.clients:plain", "agg@example.com", "flwr/zoo/messages", project.code_hash()):
        assert word in text
