"""The how-to's few lines for other clients do what they say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_programs import java_libraries, program

from drive_emulator import DriveEmulator

pytestmark = pytest.mark.clients

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "drive-emulator.md"
PROGRAMS = Path(__file__).parent / "programs"
GO = """package main

import (
    "context"
    "log"
    "os"
    "strings"

    "golang.org/x/oauth2"
    "google.golang.org/api/drive/v3"
    "google.golang.org/api/option"
)

func check(err error) {
    if err != nil {
        log.Fatal(err)
    }
}

func main() {
%s
    check(err)
}
"""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as emulator:
        yield emulator


@pytest.fixture
def variables(emulator: DriveEmulator) -> dict[str, str]:
    emulator.reset()
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "DRIVE_EMULATOR_HOST": emulator.host, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off"}


def stored(emulator: DriveEmulator) -> list[tuple[str, str, bytes | None]]:
    return [(file.name, file.owner, file.content) for file in emulator.files()]


REPORT = [("report.csv", "alice@example.com", b"a,b")]


def test_node_s_lines(emulator: DriveEmulator, variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(PROGRAMS / "node_modules")
    (tmp_path / "report.mjs").write_text(block("js"))
    program("node", variables)(str(tmp_path / "report.mjs"))

    assert stored(emulator) == REPORT


def test_go_s_lines(emulator: DriveEmulator, variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "report.go").write_text(GO % block("go"))
    program("go", variables)("run", str(tmp_path / "report.go"))

    assert stored(emulator) == REPORT


def test_java_s_lines(emulator: DriveEmulator, variables: dict[str, str], tmp_path: Path) -> None:
    steps = (PROGRAMS / "Steps.java").read_text()
    begin, end = steps.index("        agree();\n") + len("        agree();\n"), steps.rindex("    }\n}")
    imported = "import com.google.api.client.http.HttpRequestInitializer;\n"
    (tmp_path / "Steps.java").write_text(imported + steps[:begin] + block("java") + steps[end:])
    program("java", variables)("-cp", java_libraries(), str(tmp_path / "Steps.java"))

    assert stored(emulator) == REPORT


def test_rclone_s_lines(google: DriveEmulator, environment: dict[str, str]) -> None:
    assert shutil.which("rclone")
    done = program("bash", {name: value for name, value in environment.items() if "_GD_" not in name})

    assert done("-euo", "pipefail", "-c", block("sh")) == "report.csv\n"
    assert stored(google) == [("report.csv", "alice@example.com", b"a,b\n")]
