"""The notebook of the examples runs as it stands, cell by cell, in an event loop as a kernel has one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from test_code_blocks import ROOT

NOTEBOOK = ROOT / "examples" / "notebook" / "ask_an_owner.ipynb"
KERNEL = """
import ast, asyncio, inspect, json, sys

cells = json.load(sys.stdin)["cells"]

async def kernel():
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code" and "not-run" not in cell["metadata"].get("tags", []):
            code = compile("".join(cell["source"]), cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.isawaitable(result):
                await result

asyncio.run(kernel())
"""


def test_the_notebook_runs_and_leaves_nothing_running(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SYFT", "GDRIVE", "DRIVE_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", KERNEL],
        input=NOTEBOOK.read_text(encoding="utf-8"),
        env={**clean, "SYFT_FLWR_STATE_DIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Whom do you have?: 5 patients, 54.4 years on average\n"
    assert "Traceback" not in done.stderr


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert not [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
