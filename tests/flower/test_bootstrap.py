from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import syft_flwr
from syft_flwr.errors import ConfigurationError, FlowerError, InvalidNameError
from syft_flwr.project_table import load_project

PYPROJECT = """\
# Ours, with care
[project]
name    = "diabetes"   # aligned by hand
version = "1.0.0"

[tool.flwr.app]
publisher = "example"

[tool.flwr.app.components]
serverapp = "d.server:app"
clientapp = "d.client:app"

[tool.other]
x = 1 # stays
"""
OWNERS = ["do1@example.com", "do2@example.com"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def test_it_adds_a_table_and_leaves_every_other_byte(project: Path) -> None:
    path = syft_flwr.bootstrap(project, "agg@example.com", OWNERS)
    assert load_project(project) == {
        "app_name": "diabetes",
        "aggregator": "agg@example.com",
        "datasites": OWNERS,
        "transport": "p2p",
    }
    text = path.read_text()
    for line in PYPROJECT.splitlines():
        assert line in text.splitlines()
    before, after = tomllib.loads(PYPROJECT), tomllib.loads(text)
    after["tool"].pop("syft_flwr")
    assert after == before


def test_repeating_it_changes_nothing_and_other_parties_replace_the_first(project: Path) -> None:
    path = syft_flwr.bootstrap(project, "agg@example.com", OWNERS)
    first = path.read_bytes()
    assert syft_flwr.bootstrap(project, "agg@example.com", OWNERS).read_bytes() == first
    path.write_text(path.read_text().replace('aggregator = "agg@example.com"', 'aggregator = "agg@example.com" # boss'))
    syft_flwr.bootstrap(project, "agg@example.com", [*OWNERS, "do3@example.com"], app_name="other")
    assert load_project(project)["datasites"] == [*OWNERS, "do3@example.com"]
    assert load_project(project)["app_name"] == "other"
    assert "# boss" in path.read_text()
    syft_flwr.bootstrap(project, "agg@example.com", OWNERS)
    assert load_project(project)["app_name"] == "other"


def test_what_else_the_table_holds_stays(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(PYPROJECT + "\n[tool.syft_flwr]\nextra = 5 # mine\n")
    syft_flwr.bootstrap(project, "agg@example.com", OWNERS)
    assert load_project(project)["extra"] == 5
    assert "# mine" in path.read_text()


@pytest.mark.parametrize(
    ("aggregator", "owners", "error", "word"),
    [
        ("agg@example.com", [], ConfigurationError, "no data owners"),
        ("do1@example.com", ["DO1@example.com"], ConfigurationError, "at once"),
        ("agg@example.com", ["do1@example.com", "Do1@example.com"], ConfigurationError, "twice"),
        ("nobody", OWNERS, InvalidNameError, "nobody"),
    ],
)
def test_odd_parties_are_told_and_nothing_is_written(
    project: Path, aggregator: str, owners: list[str], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        syft_flwr.bootstrap(project, aggregator, owners)
    assert (project / "pyproject.toml").read_text() == PYPROJECT


@pytest.mark.parametrize("text", [None, "[project]\nname = 'x'\n", "[broken", "[tool]\nflwr = 5\n"])
def test_what_is_no_flower_project_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(FlowerError, match=r"no Flower project|can't read"):
        syft_flwr.bootstrap(tmp_path, "agg@example.com", OWNERS)
