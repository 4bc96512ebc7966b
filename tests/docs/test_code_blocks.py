"""Every code block of the README and the docs does what the text says, against the emulator."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet

from syft_flwr.testing import DriveEmulator

ROOT = Path(__file__).resolve().parents[2]
LONG = {"migrate.md", "replay-tests.md"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<note><!-- not run: [^>]+ -->\n+)?^```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    line: int
    language: str
    code: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, m.start("code")) + 1, m["language"], m["code"], m["note"] is None)
        for m in FENCE.finditer(text)
    ]


def environment(emulator: DriveEmulator, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYFT", "GDRIVE", "DRIVE_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DRIVE_EMULATOR_HOST": emulator.host,
        "DRIVE_EMULATOR_CONTROL": emulator.control_token,
        "SYFT_FLWR_STATE_DIR": str(home / "state"),
        "PYTHONWARNINGS": "error::ResourceWarning",
    }


def run(command: list[str], script: str, emulator: DriveEmulator, home: Path, where: str) -> None:
    done = subprocess.run(
        command,
        input=script,
        env=environment(emulator, home),
        cwd=home,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"


def marked(pages: Iterable[Path]) -> list[ParameterSet]:
    """Name pages for tests; those that run whole federations are for the slow suite."""
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[pytest.mark.slow] if page.name in LONG else [])
        for page in pages
    ]


@pytest.mark.parametrize("page", marked(PAGES))
def test_the_python_blocks_of_a_page_run_in_their_order(page: Path, tmp_path: Path) -> None:
    script = "".join(
        "\n" * (block.line - 1 - before) + block.code
        for block, before in _with_lines_before([b for b in blocks(page) if b.language == "python" and b.runs])
    )
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    with DriveEmulator() as emulator:
        run([sys.executable, "-"], script, emulator, tmp_path, f"python blocks of {page.relative_to(ROOT)}")


@pytest.mark.parametrize(
    "page",
    marked(
        page for page in PAGES if page.parent.name != "tutorial" and page.name != "README.md"
    ),  # those are test_walk's
)
def test_the_bash_blocks_of_a_page_run_in_their_order(page: Path, tmp_path: Path) -> None:
    script = "".join(block.code for block in blocks(page) if block.language == "bash" and block.runs)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    with DriveEmulator() as emulator:
        run(["bash", "-euo", "pipefail"], script, emulator, tmp_path, f"bash blocks of {page.relative_to(ROOT)}")


def test_the_readme_has_blocks_to_run() -> None:
    languages = [block.language for block in blocks(ROOT / "README.md") if block.runs]
    assert languages.count("bash") == 2
    assert languages.count("python") >= 3


def _with_lines_before(chosen: list[Block]) -> list[tuple[Block, int]]:
    """Pair each block with the number of lines already written, so that tracebacks name the page's own lines."""
    pairs, written = [], 0
    for block in chosen:
        pairs.append((block, written))
        written = block.line - 1 + block.code.count("\n")
    return pairs
