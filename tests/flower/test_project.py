from __future__ import annotations

from pathlib import Path

import pytest
from flower_federation import DIGITS

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import FlowerProject, parse_config

COMPLETE = """\
[project]
name = "tiny"
version = "1.0.0"
[tool.flwr.app]
publisher = "example"
[tool.flwr.app.components]
serverapp = "tiny.server:app"
clientapp = "tiny.client:app"
[tool.flwr.app.config]
rounds = 2
[tool.flwr.app.config.model]
depth = 3
"""


def tiny(directory: Path, text: str = COMPLETE) -> FlowerProject:
    (directory / "pyproject.toml").write_text(text)
    return FlowerProject.load(directory)


def test_the_example_is_an_ordinary_flower_project_that_does_not_know_this_package() -> None:
    project = FlowerProject.load(DIGITS)
    assert project.app_name == "digits"
    assert project.run_config["num-server-rounds"] == 3
    assert not any("syft" in path.read_text() for path in DIGITS.rglob("*.py"))


def test_nested_config_is_flat_with_dots(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    assert project.run_config == {"rounds": 2, "model.depth": 3}
    assert project.overrides(["model.depth=5 rounds=1"]) == {"model.depth": 5, "rounds": 1}


@pytest.mark.parametrize(
    ("missing", "word"),
    [
        ("[project]\nname", "project"),
        ('serverapp = "tiny.server:app"', "serverapp"),
        ('clientapp = "tiny.client:app"', "clientapp"),
        ('publisher = "example"', "publisher"),
        ("rounds = 2", ""),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: str, word: str) -> None:
    text = COMPLETE.replace(missing, "")
    if not word:
        assert tiny(tmp_path, text).run_config == {"model.depth": 3}
        return
    with pytest.raises(FlowerError, match=word):
        tiny(tmp_path, text)


@pytest.mark.parametrize("text", ["[", "x = 1", "[tool.flwr]\napp = 5"])
def test_other_files_are_no_flower_project(tmp_path: Path, text: str) -> None:
    with pytest.raises(FlowerError, match="no Flower project"):
        tiny(tmp_path, text)


def test_the_number_of_rounds_needs_the_templates_key(tmp_path: Path) -> None:
    with pytest.raises(FlowerError, match="no num-server-rounds"):
        tiny(tmp_path).overrides([], rounds=3)
    assert FlowerProject.load(DIGITS).overrides([], rounds=5) == {"num-server-rounds": 5}


def test_unknown_keys_are_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FlowerError, match=r"unknown run-config key deph; .* has: model.depth, rounds"):
        tiny(tmp_path).overrides(["deph=5"])


def test_an_account_has_the_role_that_its_address_has_in_the_project(tmp_path: Path) -> None:
    text = COMPLETE + '[tool.syft_flwr]\naggregator = "agg@example.com"\ndatasites = ["do1@example.com"]\n'
    project = tiny(tmp_path, text)
    parties = Parties.of(project, None, [])
    assert parties.role_of("AGG@example.com") == "aggregator"
    assert parties.role_of("Do1@example.com") == "owner"
    with pytest.raises(ConfigurationError, match=r"do2@example.com takes no part .* agg@example.com"):
        parties.role_of("do2@example.com")
    assert Parties.of(project, "boss@example.com", ["x@example.com"]).aggregator == "boss@example.com"


@pytest.mark.parametrize(
    ("aggregator", "owners", "word"),
    [
        (None, ["do1@example.com"], "bootstrap"),
        ("a@example.com", [], "--datasite"),
        ("a@e.org", ["A@e.org"], "at once"),
    ],
)
def test_missing_or_odd_parties_are_told(tmp_path: Path, aggregator: str | None, owners: list[str], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        Parties.of(tiny(tmp_path), aggregator, owners)


def test_settings_may_hold_escaped_quotes() -> None:
    told = parse_config(['name="a \\"b\\" c" lr=0.1', "on=true"], "-c")
    assert told == {"name": 'a "b" c', "lr": 0.1, "on": True}
