"""The ``fields`` parameter: which fields of an answer are sent.

https://developers.google.com/workspace/drive/api/guides/fields-parameter. Names are checked against Google's
discovery document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from drive_emulator.discovery import fields_of
from drive_emulator.errors import ApiError

__all__ = ["FieldsError", "Mask", "field_mask", "parse_fields"]

Tree: TypeAlias = dict[str, "Tree | None"]
"""Selected fields and what is selected below each; ``None`` selects all there is."""

MAX_LENGTH: Final = 65_536
"""Characters of a mask."""

_FILE: Final = "kind,id,name,mimeType"
_PERMISSION: Final = "kind,id,type,role"
_REVISION: Final = "kind,id,mimeType,modifiedTime"
# Method: schema of the answer, and the mask that stands for an absent one (None: the parameter is required).
_METHODS: Final[dict[str, tuple[str, str | None]]] = {
    "about.get": ("About", None),
    "changes.getStartPageToken": ("StartPageToken", "*"),
    "changes.list": (
        "ChangeList",
        f"kind,nextPageToken,newStartPageToken,changes(kind,type,changeType,time,removed,fileId,file({_FILE}))",
    ),
    "drives.list": ("DriveList", "kind,nextPageToken,drives(kind,id,name)"),
    "files.copy": ("File", _FILE),
    "files.create": ("File", _FILE),
    "files.generateIds": ("GeneratedIds", "*"),
    "files.get": ("File", _FILE),
    "files.list": ("FileList", f"kind,incompleteSearch,nextPageToken,files({_FILE})"),
    "files.update": ("File", _FILE),
    "permissions.create": ("Permission", _PERMISSION),
    "permissions.get": ("Permission", _PERMISSION),
    "permissions.list": ("PermissionList", f"kind,nextPageToken,permissions({_PERMISSION})"),
    "permissions.update": ("Permission", _PERMISSION),
    "revisions.get": ("Revision", _REVISION),
    "revisions.list": ("RevisionList", f"kind,nextPageToken,revisions({_REVISION})"),
}
_TOKEN: Final = re.compile(r"\s*([^\s,/()]+|[,/()])\s*")


class FieldsError(ApiError):
    """A mask that selects what does not exist, or none where one is required: 400 at the parameter ``fields``."""

    def __init__(self, message: str, *, reason: str = "invalidParameter") -> None:
        super().__init__(400, reason, message, location="fields")


@dataclass(frozen=True, slots=True)
class Mask:
    """What a caller wants of an answer; shared between threads, never changed."""

    tree: Tree | None

    def project(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Return the selected part of an answer; what was not copied is shared with ``resource``."""
        projected: dict[str, Any] = _project(self.tree, resource)
        return projected

    def selects(self, *path: str) -> bool:
        """Whether anything at this path is wanted (``mask.selects("files", "permissions")``)."""
        tree = self.tree
        for name in path:
            if tree is None:
                return True
            if name not in tree:
                return False
            tree = tree[name]
        return True


def field_mask(method: str, fields: str | None) -> Mask:
    """Return the mask of a call of a method: ``"files.list"``. An empty one selects nothing.

    Raises:
        FieldsError: The mask is malformed, selects an unknown field, or is absent where the method requires one.
    """
    schema, default = _METHODS[method]
    if fields is None:
        fields = default
    if fields is None:
        raise FieldsError("The 'fields' parameter is required for this method.", reason="required")
    return parse_fields(fields, schema)


@lru_cache(maxsize=512)
def parse_fields(text: str, schema: str) -> Mask:
    """Parse a mask of a schema, such as ``"files(id,owners/emailAddress),nextPageToken"``; results are cached.

    Raises:
        FieldsError: It is malformed, selects an unknown field, or is longer than MAX_LENGTH.
    """
    if len(text) > MAX_LENGTH:
        raise FieldsError("Invalid field selection: too long")
    tokens = _TOKEN.findall(text)
    if not tokens:
        return Mask({})
    tree, end = _parse_list(tokens, 0, schema, text)
    if end != len(tokens):
        raise FieldsError(f"Invalid field selection {text}")
    return Mask(tree)


def _parse_list(tokens: list[str], at: int, schema: Any, text: str) -> tuple[Tree | None, int]:
    """Parse ``selection,selection`` from a token on; return the tree and the first token after it.

    No schema refers to itself, so the fields that exist bound the recursion.
    """
    tree: Tree | None = {}
    while True:
        selected, at = _parse_selection(tokens, at, schema, text)
        tree = _merged(tree, selected)
        if at == len(tokens) or tokens[at] != ",":
            return tree, at
        at += 1


def _parse_selection(tokens: list[str], at: int, schema: Any, text: str) -> tuple[Tree | None, int]:
    """Parse ``*``, ``name``, ``name/selection`` or ``name(list)``."""
    if at == len(tokens) or tokens[at] in ",/()":
        raise FieldsError(f"Invalid field selection {text}")
    name, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
    fields = _fields_of(schema)
    if fields is None or (name not in fields and name != "*" and fields is not _ANY):
        raise FieldsError(f"Invalid field selection {name}")
    if name == "*":
        return None, at + 1
    below = fields.get(name)
    if following == "/":
        selected, at = _parse_selection(tokens, at + 2, below, text)
        return {name: selected}, at
    if following == "(":
        selected, at = _parse_list(tokens, at + 2, below, text)
        if at == len(tokens) or tokens[at] != ")":
            raise FieldsError(f"Invalid field selection {text}")
        return {name: selected}, at + 1
    return {name: None}, at + 1


_ANY: Final[dict[str, Any]] = {}
"""The fields of a map: any name, with a plain value."""


def _fields_of(schema: Any) -> dict[str, Any] | None:
    """Return the fields below a schema or one of its fields, ``None`` for a plain value."""
    if schema == "*":
        return _ANY
    fields: dict[str, Any] | None = fields_of(schema) if isinstance(schema, str) else schema
    return fields


def _merged(one: Tree | None, other: Tree | None) -> Tree | None:
    """Return what either selects."""
    if one is None or other is None:
        return None
    merged = dict(one)
    for name, below in other.items():
        merged[name] = _merged(merged[name], below) if name in merged else below
    return merged


def _project(tree: Tree | None, value: Any) -> Any:
    if tree is None:
        return value
    if isinstance(value, list):
        return [_project(tree, item) for item in value]
    if not isinstance(value, dict):
        return value
    # Most of what is wanted is wanted as a whole, and copied here and now.
    return {
        name: held if (below := tree[name]) is None else _project(below, held)
        for name, held in value.items()
        if name in tree
    }
