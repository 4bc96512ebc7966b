from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HOOKS = Path(__file__).resolve().parents[2] / "scripts" / "site_hooks.py"


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<p>As in :meth:<code>wait</code>.</p>", "<p>As in <code>wait</code>.</p>"),
        ("see :func:<code>~syft_flwr.feed.defer</code>", "see <code>defer</code>"),
        ("<code>:func:</code> and <code>~user</code>", "<code>:func:</code> and <code>~user</code>"),
    ],
)
def test_cross_references_of_docstrings_are_plain_names_on_the_site(page: str, shown: str) -> None:
    spec = importlib.util.spec_from_file_location("site_hooks", HOOKS)
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)

    assert hooks.on_page_content(page) == shown
