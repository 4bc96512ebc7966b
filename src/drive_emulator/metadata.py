"""What a request's JSON body says about a file: checked, so that nothing malformed reaches the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drive_emulator.clock import parse_timestamp
from drive_emulator.discovery import fields_of
from drive_emulator.errors import ApiError, forbidden, invalid
from drive_emulator.model import MAX_NAME_LENGTH, MAX_PROPERTIES, MAX_PROPERTY_BYTES

# In the order of the fields of Metadata.
_TEXTS = ("id", "name", "mimeType", "originalFilename")
_TIMES = ("createdTime", "modifiedTime", "viewedByMeTime")
_FLAGS = ("starred", "trashed")
_SETTINGS: Mapping[str, type] = {
    "description": str,
    "folderColorRgb": str,
    "writersCanShare": bool,
    "copyRequiresWriterPermission": bool,
    "viewersCanCopyContent": bool,
    "shortcutDetails": dict,
    "contentRestrictions": list,
}
_OTHERS = ("kind", "parents", "properties", "appProperties", "contentHints", "downloadRestrictions")
_READ_ONLY = fields_of("File").keys() - {*_TEXTS, *_TIMES, *_FLAGS, *_SETTINGS, *_OTHERS}
SHORTCUT_MIME_TYPE = "application/vnd.google-apps.shortcut"
_MIME_TYPE = re.compile(r"[\x21-\x7e]+/[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The fields that a body sets; ``None`` where it does not say. Times are milliseconds since 1970."""

    id: str | None = None
    name: str | None = None
    mime_type: str | None = None
    original_name: str | None = None
    parents: tuple[str, ...] | None = None
    created: int | None = None
    modified: int | None = None
    viewed: int | None = None
    starred: bool | None = None
    trashed: bool | None = None
    properties: Mapping[str, str | None] = field(default_factory=dict)
    app_properties: Mapping[str, str | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_personal(self) -> bool:
        """Whether it changes only what is the caller's own, such as the star, which needs no right to edit."""
        return self == Metadata(starred=self.starred, viewed=self.viewed)


def parse_metadata(body: Any) -> Metadata:
    """Check a ``drive#file`` body. Fields that Drive does not know are ignored, as Drive does.

    Raises:
        ApiError: 400 for a value of the wrong type or size, 403 for a field that can't be written.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "The request body must be a JSON object.")
    if read_only := sorted(_READ_ONLY & body.keys()):
        message = f"The resource body includes fields which are not directly writable: {', '.join(read_only)}."
        raise forbidden("fieldNotWritable", message)
    texts = {key: _typed(body, key, str) for key in _TEXTS}
    times = {key: _time(body, key) for key in _TIMES}
    if texts["name"] is not None and len(texts["name"].encode("utf-16-le")) > 2 * MAX_NAME_LENGTH:
        raise invalid("name", f"A file's name has at most {MAX_NAME_LENGTH} characters.")
    if texts["mimeType"] is not None and not is_media_type(texts["mimeType"]):
        raise invalid("mimeType", "Invalid MIME type provided.")
    settings = {key: _typed(body, key, kind) for key, kind in _SETTINGS.items() if key in body}
    if (copied := settings.pop("viewersCanCopyContent", None)) is not None:  # the same by its old name
        settings.setdefault("copyRequiresWriterPermission", not copied)
    if texts["mimeType"] == SHORTCUT_MIME_TYPE and settings.get("shortcutDetails") is None:
        raise invalid("shortcutDetails.targetId", "A shortcut needs a target.")
    if texts["mimeType"] not in (None, SHORTCUT_MIME_TYPE):
        settings.pop("shortcutDetails", None)
    _check_shortcut(settings.get("shortcutDetails"))
    if settings.get("contentRestrictions") is not None:
        settings["contentRestrictions"] = _restrictions(settings["contentRestrictions"])
    flags = [_typed(body, key, bool) for key in _FLAGS]
    properties = [_properties(body, key) for key in ("properties", "appProperties")]
    values: list[Any] = [*texts.values(), _parents(body), *times.values(), *flags, *properties, settings]
    return Metadata(*values)


def is_media_type(text: str) -> bool:
    """Tell whether a text can be sent back as a ``Content-Type``."""
    return len(text) <= 255 and _MIME_TYPE.fullmatch(text) is not None


def merge_properties(held: Mapping[str, str], given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the properties after an update: ``null`` removes one."""
    merged = {key: value for key, value in {**held, **given}.items() if value is not None}
    if len(merged) > MAX_PROPERTIES:
        raise forbidden("propertyLimitExceeded", f"A file has at most {MAX_PROPERTIES} properties of a visibility.")
    return merged


def _typed(body: Mapping[str, Any], key: str, kind: type) -> Any:
    value = body.get(key)
    if value is not None and not isinstance(value, kind):
        raise invalid(key, f"Invalid value for field {key}: not a {kind.__name__}.")
    return value


def _time(body: Mapping[str, Any], key: str) -> int | None:
    text = _typed(body, key, str)
    try:
        return None if text is None else parse_timestamp(text)
    except ValueError as error:
        raise invalid(key, f"Invalid value for field {key}: not an RFC 3339 time.") from error


def _parents(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    parents = body.get("parents")
    parents = [parents] if isinstance(parents, str) else _typed(body, "parents", list)  # Google's parser is lenient
    if parents is None:
        return None
    if not all(isinstance(parent, str) for parent in parents):
        raise invalid("parents", "Invalid value for field parents: not a list of IDs.")
    if len(parents) > 1:
        raise forbidden("cannotAddParent", "Increasing the number of parents is not allowed")
    return tuple(parents)


def _properties(body: Mapping[str, Any], key: str) -> dict[str, str | None]:
    given = _typed(body, key, dict) or {}
    for name, value in given.items():
        if not isinstance(value, str | None):
            raise invalid(key, f"Invalid value for field {key}: the value of a property is a string.")
        if len(name.encode()) + len((value or "").encode()) > MAX_PROPERTY_BYTES:
            message = f"A property's key and value have at most {MAX_PROPERTY_BYTES} bytes together."
            raise invalid(key, message)
    return dict(given)


def _check_shortcut(details: Mapping[str, Any] | None) -> None:
    if details is not None and not isinstance(details.get("targetId"), str):
        raise invalid("shortcutDetails.targetId", "The target of a shortcut is the ID of a file.")


def _restrictions(given: list[Any]) -> list[dict[str, Any]]:
    """Return what is restricted from now on; a restriction that is not read-only lifts the one that there was."""
    kinds = {"readOnly": bool, "reason": str, "ownerRestricted": bool}
    for one in given:
        if not isinstance(one, dict) or not all(isinstance(one.get(k, kind()), kind) for k, kind in kinds.items()):
            raise invalid("contentRestrictions", "A restriction has readOnly, and may have reason and ownerRestricted.")
        if one.get("reason") and not one.get("readOnly"):
            raise invalid("contentRestrictions", "A reason is given where readOnly is set.")
    return [{key: one[key] for key in kinds if key in one} for one in given if one.get("readOnly")][:1]
