"""The types that users see: examples, and the code of README and docs as written, by mypy (strict) and pyright."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?<! dependencies -->\n)^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""All but the one that says that it needs a package which is not among the dependencies."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pipelines, examples, and a module for each page, whose lines have the page's numbers."""
    directory = tmp_path_factory.mktemp("blocks")
    for page in PAGES:
        text, code = page.read_text(encoding="utf-8"), ""
        for block in BLOCK.finditer(text):
            code += "\n" * (text.count("\n", 0, block.start(1)) - code.count("\n")) + block[1]
        if code:
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_")
            (directory / f"{name}.py").write_text(code, encoding="utf-8")
    return [
        str(path) for folder in (HERE, ROOT / "examples" / "streams", directory) for path in sorted(folder.glob("*.py"))
    ]


def check(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=110, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mypy_strict_accepts_what_users_write(files: list[str]) -> None:
    check("mypy", "--strict", "--config-file", "pyproject.toml", "--untyped-calls-exclude", "google", *files)


@pytest.mark.slow
def test_pyright_accepts_what_users_write(files: list[str]) -> None:
    check("pyright", "--pythonpath", sys.executable, *files)


def test_the_cookbook_is_among_what_is_checked(files: list[str]) -> None:
    assert any(file.endswith("docs_how_to_pipelines.py") for file in files)
    assert sum("docs" in Path(file).name or "README" in file for file in files) >= 7
