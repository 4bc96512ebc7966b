"""``files``, but for uploads, and the head of ``revisions``."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from drive_emulator.api.call import ApiResponse, Call
from drive_emulator.api.media import download, require_download
from drive_emulator.errors import ApiError, forbidden, invalid, no_shared_drive, required
from drive_emulator.fields import Mask
from drive_emulator.ids import new_file_id
from drive_emulator.metadata import parse_metadata
from drive_emulator.model import File, View
from drive_emulator.records import load_seen, set_view
from drive_emulator.resources import costly_fields

_MOST_LISTED = 1000
_EXPORTS = {
    "application/vnd.google-apps.document": ("text/plain", "text/markdown"),
    "application/vnd.google-apps.presentation": ("text/plain",),
    "application/vnd.google-apps.spreadsheet": ("text/csv", "text/tab-separated-values"),
}
"""Of what an empty document is exported to, that which is nothing at all."""


def file_answer(call: Call, file: File, mask: Mask) -> Response:
    """Answer with a file as it was just written."""
    call.file_id = file.id
    seen = load_seen(call.drive.database, call.account.key, file.id)
    return _show(call, *(seen or (file, View(call.account.key, file.id, None))), mask)


def _show(call: Call, file: File, view: View, mask: Mask) -> Response:
    return ApiResponse(mask.project(call.drive.resources.file(call.account, file, view, costly_fields(mask))))


async def create(call: Call) -> Response:
    mask = call.mask()
    metadata = parse_metadata(await call.json())
    with call.drive.database.transaction():
        file = call.drive.files.create(call.account, metadata, None)
    return file_answer(call, file, mask)


async def get(call: Call) -> Response:
    media = _is_media(call)
    mask = None if media else call.mask()
    if call.drive.behaviour.views_are_changes:
        _view(call)
    file, view, role = call.drive.access.see(call.account, call.path("file_id"))
    return download(call, file, role) if mask is None else _show(call, file, view, mask)


async def get_v2(call: Call) -> Response:
    """Answer as version 2 does, which clients of version 3 ask for a file's ETag."""
    file, view, _ = call.drive.access.see(call.account, call.path("file_id"))
    shown = call.drive.resources.file(call.account, file, view, ())
    names = {name: name for name in ("kind", "id", "mimeType", "version", "md5Checksum")}
    names |= {"title": "name", "createdDate": "createdTime", "modifiedDate": "modifiedTime", "fileSize": "size"}
    answer: dict[str, Any] = {old: shown[new] for old, new in names.items() if new in shown}
    answer["etag"] = f'"{file.id}/{file.version}"'
    answer["labels"] = {"starred": shown["starred"], "trashed": shown["trashed"]}
    answer["parents"] = [{"kind": "drive#parentReference", "id": parent} for parent in shown.get("parents", ())]
    return ApiResponse(answer)


async def update(call: Call) -> Response:
    mask = call.mask()
    add, remove = call.ids("addParents"), call.ids("removeParents")
    metadata = parse_metadata(await call.json())
    with call.drive.database.transaction():
        file = call.drive.files.update(call.account, call.path("file_id"), metadata, add=add, remove=remove)
    return file_answer(call, file, mask)


async def copy(call: Call) -> Response:
    mask = call.mask()
    metadata = parse_metadata(await call.json())
    with call.drive.database.transaction():
        file = call.drive.files.copy(call.account, call.path("file_id"), metadata)
    return file_answer(call, file, mask)


async def export(call: Call) -> Response:
    """Answer with a Docs Editors file's content, which is always empty here."""
    if not (wanted := call.text("mimeType")):
        raise required("mimeType", "Required parameter: mimeType")
    file, _, role = call.drive.access.see(call.account, call.path("file_id"))
    if (exports := _EXPORTS.get(file.mime_type)) is None:
        raise forbidden("fileNotExportable", "Export only supports Docs Editors files.")
    require_download(file, role)
    if wanted not in exports:
        raise ApiError(400, "badRequest", "The requested conversion is not supported.", location="convertTo")
    return Response(headers={"Content-Type": wanted})


async def delete(call: Call) -> Response:
    with call.drive.database.transaction():
        call.drive.files.delete(call.account, call.path("file_id"))
    return Response(status_code=204)


async def empty_trash(call: Call) -> Response:
    call.refuse_drive()
    with call.drive.database.transaction():
        call.drive.files.empty_trash(call.account)
    return Response(status_code=204)


async def generate_ids(call: Call) -> Response:
    count = call.number("count", 10, 1, 1000)
    (space, *more) = call.spaces("space")
    if more:
        raise invalid("space")
    if call.text("type", "files") not in ("files", "shortcuts"):
        raise invalid("type")
    answer = {"kind": "drive#generatedIds", "space": space, "ids": [new_file_id() for _ in range(count)]}
    return ApiResponse(call.mask().project(answer))


async def list_files(call: Call) -> Response:
    mask = call.mask()
    _check_corpora(call)
    page = call.drive.search.page(
        call.account,
        call.text("q"),
        call.text("orderBy"),
        call.page_size(100, _MOST_LISTED),
        call.text("pageToken") or None,
        spaces=call.spaces(),
    )
    wanted = costly_fields(mask, "files")
    answer = {
        "kind": "drive#fileList",
        "incompleteSearch": False,
        "files": [call.drive.resources.file(call.account, file, view, wanted) for file, view in page.found],
    }
    if page.next_token is not None:
        answer["nextPageToken"] = page.next_token
    return ApiResponse(mask.project(answer))


def _check_corpora(call: Call) -> None:
    """Let only the account's own corpus be searched, and all drives, of which it has no others."""
    corpora, drive_id = call.text("corpora", "user"), call.drive_id()
    if corpora not in ("user", "drive", "allDrives"):
        raise invalid("corpora", "Only the user's own corpus is served.")
    if (drive_id or corpora != "user") and not call.flag("includeItemsFromAllDrives"):
        parameter = "includeItemsFromAllDrives"
        message = f"The {parameter} parameter must be set to true when driveId is specified or corpora contains drive."
        raise forbidden("forbidden", message)
    if bool(drive_id) != (corpora == "drive"):
        message = "The driveId parameter must be specified if and only if corpora is set to drive."
        raise forbidden("teamDriveIdRequiresTeamDriveCorpora", message)
    if drive_id:
        raise no_shared_drive(drive_id)


async def list_revisions(call: Call) -> Response:
    mask = call.mask()
    file = _with_revisions(call)
    answer = {"kind": "drive#revisionList", "revisions": [call.drive.resources.revision(call.account, file)]}
    return ApiResponse(mask.project(answer))


async def get_revision(call: Call) -> Response:
    file = _with_revisions(call)
    if call.path("revision_id") not in (file.revision, "head"):
        raise ApiError(404, "notFound", f"Revision not found: {call.path('revision_id')}.", location="revisionId")
    if _is_media(call):
        return download(call, file, "writer")
    return ApiResponse(call.mask().project(call.drive.resources.revision(call.account, file)))


def _with_revisions(call: Call) -> File:
    file = call.drive.access.find(call.account, call.path("file_id"), "writer")
    if file.content is None:
        raise ApiError(403, "revisionsNotSupported", "The file does not support revisions.")
    return file


def _is_media(call: Call) -> bool:
    alt = call.text("alt", "json")
    if alt not in ("json", "media"):
        raise invalid("alt", f"Invalid value for alt: {alt[:100]}.")
    return alt == "media"


def _view(call: Call) -> None:
    file, view, _ = call.drive.access.see(call.account, call.path("file_id"))
    if view.role is not None and file.id != call.account.root_id:
        with call.drive.database.transaction():
            set_view(call.drive.database, call.account.key, file.id, viewed=call.drive.clock.milliseconds())
            call.drive.changes.append(file.id, {call.account.key: view.role})
