from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from syft_flwr import settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "scripts" / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_as_the_code_has_them(script: ModuleType) -> None:
    assert script.page() == script.PAGE.read_text(encoding="utf-8"), f"run {sys.executable} scripts/settings_table.py"


def test_the_page_of_settings_names_every_variable(script: ModuleType) -> None:
    variables = {value for name, value in vars(settings).items() if name.endswith("_VARIABLE")}
    assert variables <= set(re.findall(r"`([A-Z_]+)`", script.PAGE.read_text(encoding="utf-8")))
