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
    approvals = Approvals(tmp_path / "approvals.json")
    assert not approvals.covers(request(project))
    approvals.approve(request(project))
    assert Approvals(tmp_path / "approvals.json").covers(request(project, "AGG@example.com"))
    assert not approvals.covers(request(project, "other@example.com"))
    (project.directory / "zoo" / "helper.py").write_text("x = 1\n")
    assert not approvals.covers(request(project))


def test_the_hash_is_of_the_code_wherever_it_hides_and_not_of_the_data(project: FlowerProject, tmp_path: Path) -> None:
    before = project.code_hash()
    (project.directory / "data.csv").write_text("1,2,3")
    (project.directory / "runs").mkdir()
    (project.directory / "runs" / "x.py").write_text("x = 1")
    assert project.code_hash() == before
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "code.py").write_text("x = 1")
    (project.directory / "linked").symlink_to(tmp_path / "elsewhere")
    linked = project.code_hash()
    assert linked != before
    (tmp_path / "elsewhere" / "code.py").write_text("x = 2")
    assert project.code_hash() != linked


def test_a_hash_may_be_shortened_but_not_to_nothing(project: FlowerProject) -> None:
    asked = request(project)
    assert matches(asked, asked.code_hash[:12].upper())
    assert not matches(asked, "0" * 12)
    with pytest.raises(ConfigurationError, match="at least 12"):
        matches(asked, asked.code_hash[:11])


def test_damaged_approvals_approve_nothing(project: FlowerProject, tmp_path: Path) -> None:
    (tmp_path / "approvals.json").write_text("[")
    with pytest.raises(StateError, match="damaged"):
        Approvals(tmp_path / "approvals.json").covers(request(project))


def test_the_request_says_what_will_run_and_who_asks(project: FlowerProject) -> None:
    text = "\n".join(request(project).lines())
    for word in ("zoo.clients:plain", "agg@example.com", "flwr/zoo/messages", project.code_hash()):
        assert word in text
