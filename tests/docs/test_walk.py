"""A newcomer's way, in an environment that holds nothing: no PATH, no variable, no state, no log-in."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_code_blocks import ROOT, blocks

from syft_flwr.testing import DriveEmulator

README = ROOT / "README.md"
TWO_ACCOUNTS = ROOT / "docs" / "tutorial" / "two-accounts.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-federation.md"
POISON = ROOT / "docs" / "tutorial" / "poison-message.md"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """What there is after the README's first line but for what it ran: the examples, and an environment in .venv."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def walk(command: list[str], script: str, desk: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        input=script,
        env={"HOME": str(desk), **environment},
        cwd=desk,
        text=True,
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_two_set_ups_of_the_readme_are_a_line_each() -> None:
    codes = [block.code for block in blocks(README) if block.language == "bash" and block.runs]
    assert [code.count("\n") for code in codes] == [1, 1]


def test_the_readmes_code_runs_as_it_is_written(desk: Path) -> None:
    script = "".join(block.code for block in blocks(README) if block.language == "python")
    said = walk([".venv/bin/python", "-"], script, desk)
    assert said.splitlines()[0] == "None"
    assert "b'442 patients'" in said
    assert "scientist@example.com messages 20" in said


@pytest.mark.slow
def test_the_tutorial_leads_from_nothing_to_a_federation(desk: Path) -> None:
    """Its only step that is not run here downloads packages."""
    script = "".join(block.code for block in blocks(TUTORIAL) if block.language == "bash" and block.runs)
    script = re.sub(r"\b8085\b", str(free_port()), script)
    script = script.replace("simulate examples/digits", "simulate examples/digits --datasites 2 --rounds 1")
    bash = shutil.which("bash")
    assert bash is not None
    said = walk([bash, "-euo", "pipefail"], script, desk)
    result = json.loads((desk / "result" / "result.json").read_text())
    assert len(result["rounds"]) >= 1
    assert "✓ round trip: " in said
    assert "hospital@example.com on http://127.0.0.1:" in said
    assert not list((desk / ".local" / "state" / "syft-flwr").rglob("*@*"))


def test_two_accounts_log_in_talk_to_each_other_and_log_out(desk: Path) -> None:
    """The emulator stands in for Google's Drive and its OAuth endpoints, and a script for the one who consents."""
    script = "".join(block.code for block in blocks(TWO_ACCOUNTS) if block.language == "bash" and block.runs)
    browser = desk / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nfrom urllib.request import urlopen\nurlopen(sys.argv[1]).read()\n"
    )
    browser.chmod(0o700)
    bash = shutil.which("bash")
    assert bash is not None
    with DriveEmulator() as drive:
        drive.write_client_file(desk / "client_secret.json").chmod(0o600)
        said = walk([bash, "-euo", "pipefail"], script, desk, DRIVE_EMULATOR_HOST=drive.host, BROWSER=f"{browser} %s &")
        assert not [file for file in drive.files() if file.owner == "scientist@example.com" and "to_" in file.name]
    assert "scientist@example.com is logged in" in said
    assert said.count("✓ identity: Drive knows this account as") == 2
    assert said.count("✓ scopes: https://www.googleapis.com/auth/drive") == 2
    assert "✗" not in said
    assert "hospital@example.com is logged out" in said
    assert "asked: What do you have?" in said
    assert "442 patients" in said
    assert not list((desk / ".config" / "syft-flwr" / "tokens").rglob("*.json"))


@pytest.mark.slow
def test_a_poison_message_leads_from_production_to_a_red_and_then_a_green_test(desk: Path) -> None:
    script = "".join(block.code for block in blocks(POISON) if block.language == "bash" and block.runs)
    bash = shutil.which("bash")
    assert bash is not None
    script = ". .venv/bin/activate\n" + re.sub(r"\b8085\b", str(free_port()), script)
    said = walk([bash, "-euo", "pipefail"], script, desk)
    assert "2.0\n" in said
    assert "ZeroDivisionError" in said
    assert said.index("1 failed") < said.index("red, as in production") < said.index("1 passed")
    [test] = [block.code for block in blocks(POISON) if "def test_" in block.code]
    assert len(re.findall("^.*$", test.partition("<<'END'\n")[2].partition("END\n")[0].strip(), re.MULTILINE)) <= 15
