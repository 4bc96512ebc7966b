"""A call that came to a relay: whose it is, of which method, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from syft_flwr.testing.http_server import Request

_FILES = "/drive/v3/files"


@dataclass(frozen=True, slots=True)
class RelayedCall:
    """A call that came to the relay.

    Attributes:
        at: Monotonic seconds.
        account: Whose, as far as the relay can tell; else the token.
        method: As Drive names it: ``"files.get_media"``.
        file_id: The file that it is about, or ``""``.
        status: Of the answer; 0 where there was none.
        fault: The kind of fault that struck, or ``""``.
    """

    at: float
    account: str
    method: str
    file_id: str
    status: int
    fault: str


def method_of(request: Request) -> tuple[str, str]:
    """Return the method that a request calls, as Drive names it, and the file that it is about."""
    verb = request.headers.get("x-http-method-override", request.verb)
    path = urlsplit(request.path).path
    if path.startswith(f"/upload{_FILES}"):
        creates = verb == "POST" and path == f"/upload{_FILES}" and "upload_id" not in request.query
        return ("files.create" if creates else "files.update" if verb == "PATCH" else "uploads.put"), ""
    fixed = {
        "/drive/v3/about": "about.get",
        "/drive/v3/changes": "changes.list",
        "/drive/v3/changes/startPageToken": "changes.getStartPageToken",
        f"{_FILES}/generateIds": "files.generateIds",
        _FILES: "files.create" if verb == "POST" else "files.list",
        "/token": "token",
    }
    if path in fixed:
        return fixed[path], ""
    file_id, _, rest = path.removeprefix(f"{_FILES}/").partition("/")
    if rest.startswith("permissions"):
        verbs, other = {"POST": "permissions.create", "GET": "permissions.list"}, "permissions.delete"
    elif verb == "GET" and request.query.get("alt") == "media":
        return "files.get_media", unquote(file_id)
    else:
        verbs, other = {"GET": "files.get", "PATCH": "files.update", "DELETE": "files.delete"}, "unknown"
    return (verbs.get(verb, other), unquote(file_id)) if path.startswith(_FILES) else ("unknown", "")
