"""``syft-flwr emulator``, the door to the Drive emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.sharing import emulator_root
from syft_flwr.settings import state_root
from syft_flwr.testing import DriveEmulator

COMMAND = [sys.executable, "-m", "syft_flwr.cli.main"]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def test_it_takes_the_options_of_the_emulator_and_serves() -> None:
    with subprocess.Popen([*COMMAND, "emulator", "--port", "0", "--json"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert json.loads(child.stdout.readline())["host"].startswith("127.0.0.1:")
        child.terminate()
        assert child.wait(20) == 0


def test_its_help_is_that_of_the_emulator_under_this_name() -> None:
    done = subprocess.run([*COMMAND, "emulator", "--help"], capture_output=True, text=True, timeout=60, check=True)

    assert "emulator [-h] [--port PORT]" in done.stdout
    assert "DRIVE_EMULATOR_HOST" in done.stdout


@pytest.mark.parametrize("arguments", [["emulator", "--port", "0"], ["simulate", str(DIGITS)]])
def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    broken = "raise ModuleNotFoundError(\"No module named 'httptools'\", name='httptools')"
    (missing / "httptools.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(missing))
    monkeypatch.chdir(tmp_path)

    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("pip install 'syft-flwr-drive[emulator]'\n")


def test_on_a_free_port_it_ends_without_loading_what_looks_for_state() -> None:
    code = "import argparse, sys; from syft_flwr.cli.emulator import _forget"
    code += "; _forget(argparse.Namespace(data=None, host='127.0.0.1', port=0))"
    code += "; sys.exit('syft_flwr.runtime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(("options", "stays"), [([], False), (["--data", "kept"], True), (["save", "all.state"], True)])
def test_the_state_of_accounts_on_it_goes_with_it_unless_it_keeps_its_data(
    plain_environment: None, monkeypatch: pytest.MonkeyPatch, options: list[str], stays: bool
) -> None:
    with DriveEmulator() as drive, DriveEmulator() as other:
        for host in (drive.host, other.host):
            monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)
            with DriveRuntime.open("do@example.com") as runtime:
                runtime.poll_once()
    directories = [emulator_root(state_root(), each.url) for each in (drive, other)]
    monkeypatch.setattr("drive_emulator.__main__.main", lambda *_, **__: 0)

    done = CliRunner().invoke(app, ["emulator", "--port", str(drive.port), *options])

    assert done.exit_code == 0, done.output
    assert [bool(list(directory.glob("*@*"))) for directory in directories] == [stays, True]
    assert done.stdout == ""
    told = "removed what 1 account had kept on this machine about this Drive\n"
    assert done.stderr == ("" if stays else told)
