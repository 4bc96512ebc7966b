from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from syft_flwr import bootstrap, project_table, settings

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


def test_the_page_of_settings_names_every_key_that_a_project_is_written(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.flwr.app]\npublisher = "y"\n')
    bootstrap(tmp_path, "agg@example.com", ["do@example.com"])
    assert set(project_table.load_project(tmp_path)) <= set(project_table.PROJECT_KEYS)
    assert all(f"`{key}`" in script.table() for key in project_table.PROJECT_KEYS)


def test_each_row_of_the_page_tells_option_variable_key_default_and_unit(script: ModuleType) -> None:
    rows = {row[3] or row[2] or row[0] or row[1]: row for row in script.rows()}
    minute = rows["quota_units_per_minute"]
    assert minute[1].startswith("`--quota-per-minute` of `simulate`, `run`")
    assert minute[2:6] == ("SYFT_FLWR_QUOTA_PER_MINUTE", "quota_units_per_minute", "none", "quota units")
    assert rows["SYFTBOX_EMAIL"][1].startswith("`--email` of `run`")
    assert rows["datasites"][1] == "`--datasite` of `run`, `bootstrap`"
    assert rows["`--until-idle` of `run`"][4:6] == ("none", "seconds")
    assert all(row[6] for row in rows.values())
