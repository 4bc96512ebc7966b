"""Google's discovery document of Drive v3, cut down to what is served: methods, scopes, parameters and fields.

``scripts/drive_discovery.py`` makes it from the document that Google publishes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def document() -> dict[str, Any]:
    """Return the document, without the URLs of a server; shared, never changed."""
    read: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return read


def document_of(url: str) -> dict[str, Any]:
    """Return the document of a server, whose URL has no slash at its end."""
    return {**document(), "rootUrl": f"{url}/", "baseUrl": f"{url}/drive/v3/"}


@cache
def fields_of(schema: str) -> dict[str, Any]:
    """Return a schema's fields.

    A field maps to ``None`` (a value), ``"*"`` (a map with any keys), the name of another schema, or the fields of an
    object without a name. Arrays count as what they hold.

    Raises:
        KeyError: There is no such schema.
    """
    described: dict[str, Any] = _describe(document()["schemas"][schema])
    return described


def _describe(schema: dict[str, Any]) -> Any:
    if schema.get("type") == "array":
        return _describe(schema["items"])
    if name := schema.get("$ref"):
        return name
    if "additionalProperties" in schema:
        return "*"
    if schema.get("type") == "object":
        return {name: _describe(field) for name, field in schema["properties"].items()}
    return None


@cache
def methods_of(scope: str) -> frozenset[str]:
    """Return the methods that a scope covers: ``"files.list"``."""
    methods = (
        (f"{resource}.{name}", method)
        for resource, described in document()["resources"].items()
        for name, method in described["methods"].items()
    )
    return frozenset(name for name, method in methods if scope in method["scopes"])
