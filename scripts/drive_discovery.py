"""Cut the emulator's discovery document from Google's: the methods that it serves, without the descriptions.

python scripts/drive_discovery.py > src/drive_emulator/discovery.json
"""

# ruff: noqa: INP001 - a script, not a package
import json
import sys
from typing import Any

from googleapiclient.discovery_cache import get_static_doc

from drive_emulator.quota import UNITS

_LEFT_OUT = {"description", "enumDescriptions", "enumDeprecated", "annotations", "documentationLink", "icons"}


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is left; where things lie, the emulator fills in."""
    resources: dict[str, Any] = {}
    for name, resource in document["resources"].items():
        served = {method: spec for method, spec in resource["methods"].items() if f"{name}.{method}" in UNITS}
        if served:
            resources[name] = {"methods": served}
    schemas = _used(resources, document["schemas"])
    kept = {**document, "resources": resources, "schemas": schemas}
    for key in ("mtlsRootUrl", "rootUrl", "baseUrl"):
        kept.pop(key)
    stripped: dict[str, Any] = _strip(kept)
    return stripped


def _used(resources: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    waiting = list(_references(resources))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = schemas[name]
            waiting.extend(_references(schemas[name]))
    return dict(sorted(used.items()))


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [name for item in value.values() for name in _references(item)]


def _strip(value: Any) -> Any:
    """Leave out what explains; a property of such a name is an object, and stays."""
    if isinstance(value, list):
        return [_strip(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: _strip(v) for k, v in value.items() if k not in _LEFT_OUT or (isinstance(v, dict) and "type" in v)}


if __name__ == "__main__":
    json.dump(cut(json.loads(get_static_doc("drive", "v3"))), sys.stdout, separators=(",", ":"), sort_keys=True)
    sys.stdout.write("\n")
