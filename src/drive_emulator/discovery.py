"""Google's discovery document of Drive v3, cut down to what is served: methods, scopes, parameters and fields.

``scripts/drive_discovery.py`` makes it from the document that Google publishes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


def document() -> dict[str, Any]:
    """Return the document, without the URLs of a server."""
    read: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return read


def document_of(url: str) -> dict[str, Any]:
    """Return the document of a server, whose URL has no slash at its end."""
    return {**document(), "rootUrl": f"{url}/", "baseUrl": f"{url}/drive/v3/"}


@cache
def _tables() -> tuple[dict[str, dict[str, Any]], dict[str, frozenset[str]]]:
    """Return the fields of each schema, and the methods of each scope; the rest of the document is not kept."""
    read = document()
    schemas = {name: _describe(schema) for name, schema in read["schemas"].items()}
    scopes: dict[str, set[str]] = {}
    for resource, described in read["resources"].items():
        for name, method in described["methods"].items():
            for scope in method["scopes"]:
                scopes.setdefault(scope, set()).add(f"{resource}.{name}")
    return schemas, {scope: frozenset(methods) for scope, methods in scopes.items()}


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


def fields_of(schema: str) -> dict[str, Any]:
    """Return a schema's fields.

    A field maps to ``None`` (a value), ``"*"`` (a map with any keys), the name of another schema, or the fields of an
    object without a name. Arrays count as what they hold.
    """
    return _tables()[0][schema]


def methods_of(scope: str) -> frozenset[str]:
    """Return the methods that a scope covers: ``"files.list"``."""
    return _tables()[1].get(scope, frozenset())
