"""A package of its own: what it imports, and what it says when its own packages are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drive_emulator import DriveEmulator, EmulatorError
from drive_emulator.__main__ import main


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_serving_imports_nothing_of_a_federation() -> None:
    loaded = python("import sys, drive_emulator.server; print(*{name.partition('.')[0] for name in sys.modules})")

    assert "uvicorn" in loaded.split()
    assert not {"syft_flwr", "flwr", "numpy", "reactivex", "googleapiclient"} & set(loaded.split())


def test_the_handle_is_there_without_the_packages_that_serve() -> None:
    loaded = python("import sys, drive_emulator, drive_emulator.pytest_plugin; print(*sys.modules)")

    assert not {"starlette", "uvicorn", "lark", "httptools"} & set(loaded.split())


def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "drive_emulator.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # type: ignore[arg-type]

    with pytest.raises(EmulatorError, match=r"needs the package uvicorn: pip install 'syft-flwr-drive\[emulator\]'"):
        DriveEmulator().start()

    assert main(["--port", "0"]) == 1
    assert capsys.readouterr().err.endswith("pip install 'syft-flwr-drive[emulator]'\n")
