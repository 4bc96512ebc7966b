"""Write expressions of Drive's query language (``q``)."""

from __future__ import annotations

from collections.abc import Iterable


def quote(text: str) -> str:
    """Write a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def any_of(template: str, values: Iterable[str]) -> str:
    """Join a condition for each value with ``or``; ``{}`` in the template stands for the quoted value."""
    return " or ".join(template.format(quote(value)) for value in sorted(values))
