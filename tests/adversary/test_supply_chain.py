"""What we install has a floor above what is known to be broken, a bound where majors break, and a lock for CI."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["emulator"]]
EVERY = [text for texts in PROJECT["optional-dependencies"].values() for text in texts] + PROJECT["dependencies"]
LOCK = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()

BROKEN = {
    "starlette": "0.49.0",  # CVE-2025-62727
    "requests": "2.32.3",  # CVE-2024-47081
    "urllib3": "2.6.2",  # CVE-2026-21441
    "protobuf": "5.29.4",  # CVE-2025-4565
    "oauthlib": "3.2.1",  # CVE-2022-36087
}


@pytest.mark.parametrize("text", USED)
def test_each_dependency_has_a_floor_and_a_bound(text: str) -> None:
    operators = {each.operator for each in Requirement(text).specifier}
    assert {">=", "<"} <= operators


@pytest.mark.parametrize(("name", "version"), BROKEN.items())
def test_versions_that_are_known_to_be_broken_are_refused(name: str, version: str) -> None:
    [requirement] = [r for r in map(Requirement, USED) if canonicalize_name(r.name) == name]
    assert not requirement.specifier.contains(version)


def test_the_lock_names_one_version_of_each_package_and_no_place() -> None:
    pins = [line for line in LOCK if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!+]+", line) for line in pins)
    assert len({line.partition("==")[0] for line in pins}) == len(pins)
    assert not [line for line in LOCK if "://" in line or "index" in line]


def test_the_lock_has_all_that_is_asked_for_in_a_version_that_will_do() -> None:
    pins = dict(line.split("==") for line in LOCK if not line.startswith("#"))
    ours = (r for r in map(Requirement, EVERY) if r.name != PROJECT["name"])
    wanted = [r for r in ours if r.marker is None or r.marker.evaluate({"extra": ""})]
    assert {canonicalize_name(r.name) for r in wanted} <= {*pins}
    for requirement in wanted:
        assert requirement.specifier.contains(Version(pins[canonicalize_name(requirement.name)])), str(requirement)
