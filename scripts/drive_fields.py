"""Regenerate the emulator's table of response fields from Google's discovery document.

    python scripts/drive_fields.py > src/drive_emulator/fields.json

A field maps to ``null`` (a value), ``"*"`` (a map with any keys), the name of another schema, or the fields of an
object without a name. Arrays count as what they hold.
"""

# ruff: noqa: INP001 - a script, not a package
import json
import sys
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

ROOTS = (
    "About",
    "ChangeList",
    "FileList",
    "GeneratedIds",
    "PermissionList",
    "RevisionList",
    "StartPageToken",
)


def table(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the schemas that the emulator answers with, and of those that they refer to."""
    found: dict[str, Any] = {}
    waiting = list(ROOTS)

    def described(schema: dict[str, Any]) -> Any:
        if schema.get("type") == "array":
            return described(schema["items"])
        if name := schema.get("$ref"):
            waiting.append(name)
            return name
        if "additionalProperties" in schema:
            return "*"
        if schema.get("type") == "object":
            return {name: described(field) for name, field in sorted(schema["properties"].items())}
        return None

    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = {}  # keeps a schema that refers to itself from coming back
            found[name] = described(schemas[name])
    return dict(sorted(found.items()))


if __name__ == "__main__":
    json.dump(table(json.loads(get_static_doc("drive", "v3"))["schemas"]), sys.stdout, indent=1)
    sys.stdout.write("\n")
