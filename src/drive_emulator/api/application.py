"""The ASGI application: Drive's paths, OAuth's, and (when asked for) the control plane's."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial
from urllib.parse import quote

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drive_emulator.api import about, changes, files, permissions, uploads
from drive_emulator.api.batch import batch
from drive_emulator.api.call import MAX_JSON, Handler, error_response, operation, read_bounded, unzipped
from drive_emulator.api.control import control_routes
from drive_emulator.api.guard import Guard
from drive_emulator.api.oauth import oauth_routes
from drive_emulator.api.routing import Request, Route, Router
from drive_emulator.discovery import document_of
from drive_emulator.drive import Drive
from drive_emulator.errors import ApiError

logger = logging.getLogger(__name__)

_FILES = "/drive/v3/files"
_UPLOADS = "/upload/drive/v3/files"
_OPERATIONS: list[tuple[str, str, str, Handler]] = [
    ("GET", "/drive/v3/changes", "changes.list", changes.list_changes),
    ("GET", "/drive/v3/changes/startPageToken", "changes.getStartPageToken", changes.get_start_page_token),
    ("GET", "/drive/v3/about", "about.get", about.get),
    ("GET", "/drive/v3/drives", "drives.list", about.list_drives),
    ("GET", "/drive/v3/drives/{drive_id}", "drives.get", about.get_drive),
    ("POST", _FILES, "files.create", files.create),
    ("GET", _FILES, "files.list", files.list_files),
    ("GET", f"{_FILES}/generateIds", "files.generateIds", files.generate_ids),
    ("DELETE", f"{_FILES}/trash", "files.emptyTrash", files.empty_trash),
    ("GET", f"{_FILES}/{{file_id}}", "files.get", files.get),
    ("GET", "/drive/v2/files/{file_id}", "files.get", files.get_v2),
    ("PATCH", f"{_FILES}/{{file_id}}", "files.update", files.update),
    ("DELETE", f"{_FILES}/{{file_id}}", "files.delete", files.delete),
    ("GET", f"/download{_FILES}/{{file_id}}", "files.get", files.get),
    ("POST", f"{_FILES}/{{file_id}}/copy", "files.copy", files.copy),
    ("GET", f"{_FILES}/{{file_id}}/export", "files.export", files.export),
    ("POST", f"{_FILES}/{{file_id}}/permissions", "permissions.create", permissions.create),
    ("GET", f"{_FILES}/{{file_id}}/permissions", "permissions.list", permissions.list_permissions),
    ("GET", f"{_FILES}/{{file_id}}/permissions/{{permission_id}}", "permissions.get", permissions.get),
    ("PATCH", f"{_FILES}/{{file_id}}/permissions/{{permission_id}}", "permissions.update", permissions.update),
    ("DELETE", f"{_FILES}/{{file_id}}/permissions/{{permission_id}}", "permissions.delete", permissions.delete),
    ("GET", f"{_FILES}/{{file_id}}/revisions", "revisions.list", files.list_revisions),
    ("GET", f"{_FILES}/{{file_id}}/revisions/{{revision_id}}", "revisions.get", files.get_revision),
    ("POST", _UPLOADS, "files.create", uploads.upload),
    ("PATCH", f"{_UPLOADS}/{{file_id}}", "files.update", uploads.upload),
    ("PUT", _UPLOADS, "uploads.put", uploads.put),
    ("PUT", f"{_UPLOADS}/{{file_id}}", "uploads.put", uploads.put),
    ("POST", f"{_UPLOADS}/{{file_id}}", "uploads.put", uploads.put),
    ("DELETE", _UPLOADS, "uploads.cancel", uploads.cancel),
    ("DELETE", f"{_UPLOADS}/{{file_id}}", "uploads.cancel", uploads.cancel),
]
# The discovery document has a path of its own for resumable uploads.
_OPERATIONS += [(verb, f"/resumable{path}", n, h) for verb, path, n, h in _OPERATIONS if path.startswith(_UPLOADS)]


def create_application(drive: Drive, *, control: str | None, hosts: Collection[str] = ()) -> ASGIApp:
    """Return what serves the Drive; its control plane under ``/emulator``, if any, to who has the token."""
    application = _Application(drive)
    routes: list[Route] = [(verb, path, operation(drive, name, handle)) for verb, path, name, handle in _OPERATIONS]
    routes += [("POST", path, partial(batch, application)) for path in ("/batch/drive/v3", "/batch")]
    routes += oauth_routes(drive)
    routes += [("GET", path, _discover) for path in ("/discovery/v1/apis/drive/v3/rest", "/$discovery/rest")]
    routes.append(("GET", "/health", _healthy))
    if control is not None:
        routes += control_routes(drive, control)
    application.router = Router(routes)
    return Guard(application, hosts)


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _discover(request: Request) -> Response:
    return JSONResponse(document_of(str(request.base_url).rstrip("/")))


class _Application:
    """What holds for every request: a ``Date``, GET by way of POST, and no error that is not Google-shaped."""

    router: Router

    def __init__(self, drive: Drive) -> None:
        self._drive = drive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "POST":
                scope, receive = await _override_method(scope, receive)
            endpoint, parameters = self.router.find(scope["method"], scope["path"])
            response = await endpoint(Request({**scope, "path_params": parameters}, receive))
        except ApiError as error:
            response = error_response(error)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            response = error_response(ApiError(500, "internalError", "Internal Error"))
        response.raw_headers.append((b"date", self._drive.clock.http_date()))
        await response(scope, receive, send)


async def _override_method(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """Read a GET whose URL was too long: a POST with ``X-HTTP-Method-Override``, its query in the body."""
    override = dict(scope["headers"]).get(b"x-http-method-override", b"").decode("latin-1").upper()
    if override != "GET":
        return {**scope, "method": override or "POST"}, receive
    too_large = ApiError(413, "requestTooLarge", "The request is too large.")
    request = Request(scope, receive)
    body = await read_bounded(unzipped(request, request.stream()), MAX_JSON, too_large)
    query = quote(body, safe="%&=+;/?:@!$'()*,-._~\"{}[]<>|^` \\")
    joined = "&".join(part for part in (scope["query_string"].decode("latin-1"), query) if part)
    return {**scope, "method": "GET", "query_string": joined.encode("latin-1")}, _no_body


async def _no_body() -> Message:
    """Stand for the body of a GET: the real one has been read."""
    return {"type": "http.request", "body": b"", "more_body": False}
