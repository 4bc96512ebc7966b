from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest
import typer
from typer.testing import CliRunner

from syft_flwr.cli.main import app

HEAVY = ("flwr", "googleapiclient", "numpy", "uvicorn", "starlette", "diskcache")


@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--help"], ["run", "--help"], ["bootstrap", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from syft_flwr.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in done.stdout
    assert "Usage" in done.stdout


def test_the_version_is_that_of_the_distribution() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output == f"syft-flwr {version('syft-flwr-drive')}\n"


def test_importing_the_package_imports_nothing_heavy_and_offers_bootstrap() -> None:
    code = (
        "import sys, syft_flwr\n"
        f"assert not [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert callable(syft_flwr.bootstrap)\n"
        "assert 'flwr' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def _commands(name: str, group: click.Command) -> Iterator[list[str]]:
    words = [name] if name else []
    yield words
    for child, command in getattr(group, "commands", {}).items():
        yield from ([*words, *rest] for rest in _commands(child, command))


@pytest.mark.parametrize("words", list(_commands("", typer.main.get_command(app))), ids=" ".join)
def test_help_fits_eighty_columns_and_cuts_nothing(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [
        line
        for line in lines
        if "…" in line.replace(" …'", "") or "..." in line.replace("[ARGS]...", "").replace("save|load ...", "")
    ]
    assert "\\[" not in done.output
    if "Arguments:" in lines:
        described = lines[lines.index("Arguments:") + 1 : lines.index("Options:") - 1]
        assert "".join(described[0].replace("[required]", "").split(maxsplit=1)[1:]), "it is told what it is"
