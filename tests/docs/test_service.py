"""The systemd service of the docs starts a data owner, and what it says of its end is so."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_code_blocks import ROOT, blocks, environment

from syft_flwr.flower.bootstrap import bootstrap
from syft_flwr.flower.project import FlowerProject
from syft_flwr.testing import DriveEmulator

PAGE = ROOT / "docs" / "how-to" / "service.md"


def unit() -> dict[str, list[str]]:
    (block,) = [block for block in blocks(PAGE) if block.language == "ini"]
    found: dict[str, list[str]] = {}
    for line in block.code.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.slow
def test_the_service_serves_until_it_is_stopped_and_the_code_of_its_end_is_no_failure(tmp_path: Path) -> None:
    service = unit()
    places = {"/opt/federation/bin": str(Path(sys.executable).parent), "/srv": str(tmp_path), "/var/lib": str(tmp_path)}
    made = re.compile("|".join(places))

    def here(text: str) -> str:
        return made.sub(lambda found: places[found[0]], text)

    (tmp_path / "data").mkdir()
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    (project / "app" / "__init__.py").touch()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1.0"\n[tool.flwr.app]\npublisher = "x"\n[tool.flwr.app.components]\n'
        'serverapp = "app:server"\nclientapp = "app:client"\n'
    )
    bootstrap(project, "aggregator@example.com", ["owner@example.com"])
    (command,) = service["ExecStart"]
    with DriveEmulator() as emulator:
        variables = dict(here(line).split("=", 1) for line in service["Environment"])
        variables = environment(emulator, tmp_path) | {"PYTHONUNBUFFERED": "1"} | variables
        approving = [*shlex.split(here(command)), "--approve", FlowerProject.load(project).code_hash(), "--once"]
        subprocess.run(approving, env=variables, timeout=60, check=True, capture_output=True)  # as by hand, before
        with subprocess.Popen(
            shlex.split(here(command)), env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as owner:
            timer = threading.Timer(60, owner.kill)
            timer.start()
            assert owner.stdout is not None
            assert any("is ready" in line for line in owner.stdout)
            owner.send_signal(signal.SIGTERM)
            code = owner.wait(float(service["TimeoutStopSec"][0]))
            timer.cancel()
    assert [str(code)] == service["SuccessExitStatus"]
    assert (tmp_path / "syft-flwr").stat().st_mode & 0o777 == int(service["StateDirectoryMode"][0], 8)
