from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_doctors_outputs_in_the_docs_are_what_it_says() -> None:
    spec = importlib.util.spec_from_file_location("doctor_outputs", ROOT / "scripts" / "doctor_outputs.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == script.PAGE.read_text(encoding="utf-8"), f"run {sys.executable} scripts/doctor_outputs.py"
