"""Uploads: in one request (simple and multipart), or resumable in pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from drive_emulator.api.call import Call, parse_json, split_ids, to_number
from drive_emulator.api.files import file_answer
from drive_emulator.blobs import BlobWriter
from drive_emulator.errors import ApiError, invalid
from drive_emulator.fields import field_mask
from drive_emulator.metadata import Metadata, is_media_type, parse_metadata
from drive_emulator.model import Content, File
from drive_emulator.multipart import RelatedUpload
from drive_emulator.uploads import Session

SMALLEST_PIECE = 256 * 1024
"""Every piece of a resumable upload but the last has at least so many bytes."""
_GOOG = "x-goog-upload-"
MAX_SIZE = 5 * 1024**4
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.ASCII)


async def upload(call: Call) -> Response:
    """Begin or do a ``files.create`` or ``files.update`` with content."""
    if "upload_id" in call.request.query_params:  # Go's client and rclone send the pieces by POST
        return await put(call)
    protocol = call.request.headers.get(f"{_GOOG}protocol", call.text("upload_protocol")).lower()
    mask = call.mask()
    file_id = call.request.path_params.get("file_id")
    kind = {"raw": "media"}.get(protocol, protocol) or call.text("uploadType")
    if kind == "resumable":
        return await _begin(call, file_id)
    if kind not in ("media", "multipart"):
        raise invalid("uploadType", "An upload is of type media, multipart or resumable.")
    writer = call.drive.blobs.writer()
    try:
        if kind == "media":
            body: Any = {}
            content_type = _media_type(call.request.headers.get("content-type"))
            async for chunk in call.chunks():
                writer.write(chunk)
        else:
            body, content_type = await _receive_related(call, writer)
        metadata = parse_metadata(body)
        await writer.sync()
        with call.drive.database.transaction():
            query = call.request.query_params
            file = _store(call, file_id, metadata, writer.finish(), content_type=content_type, query=query)
    except BaseException:
        writer.discard()
        raise
    return file_answer(call, file, mask)


async def _receive_related(call: Call, writer: BlobWriter) -> tuple[Any, str | None]:
    related = RelatedUpload(call.request.headers.get("content-type", ""))
    async for chunk in call.chunks():
        for content in related.feed(chunk):
            writer.write(content)
    related.finish()
    return parse_json(related.metadata), _media_type(related.media_type)


def _store(
    call: Call,
    file_id: str | None,
    metadata: Metadata,
    content: Content,
    *,
    content_type: str | None,
    query: Mapping[str, str],
) -> File:
    if file_id is None:
        return call.drive.files.create(call.account, metadata, content, content_type)
    return call.drive.files.update(
        call.account,
        file_id,
        metadata,
        content=content,
        content_type=content_type,
        add=split_ids(query.get("addParents", "")),
        remove=split_ids(query.get("removeParents", "")),
    )


def _media_type(header: str | None) -> str | None:
    """Return a content type as it is stored; one that can't be sent back is none."""
    return header if header is not None and is_media_type(header) else None


async def _begin(call: Call, file_id: str | None) -> Response:
    headers = call.request.headers
    size = headers.get("x-upload-content-length", headers.get(f"{_GOOG}header-content-length"))
    total = to_number(size, MAX_SIZE)
    if size is not None and total is None:
        raise ApiError(
            400, "invalid", "Invalid upload size.", location="X-Upload-Content-Length", location_type="header"
        )
    body = await call.json()
    if file_id is None:
        call.drive.files.check_create(call.account, parse_metadata(body), with_content=True)
    else:
        call.drive.files.check_update(call.account, file_id, parse_metadata(body), with_content=True)
    with call.drive.database.transaction():
        session = call.drive.uploads.begin(
            call.account.key,
            client=call.account.client,
            file_id=file_id,
            metadata=body,
            query=dict(call.request.query_params),
            content_type=_media_type(headers.get("x-upload-content-type", headers.get(f"{_GOOG}header-content-type"))),
            total=total,
        )
    url = str(
        call.request.url.include_query_params(upload_id=session.id).remove_query_params(["access_token", "oauth_token"])
    )
    answer = {"Location": url, "X-GUploader-UploadID": session.id}
    if f"{_GOOG}protocol" in headers:
        granularity = str(SMALLEST_PIECE)
        answer |= {f"{_GOOG}URL": url, f"{_GOOG}Status": "active", f"{_GOOG}Chunk-Granularity": granularity}
    return Response(status_code=200, headers=answer)


async def put(call: Call) -> Response:
    """Take a piece of a resumable upload, or say how far it has come."""
    session = _session(call)
    if f"{_GOOG}command" in call.request.headers and "cancel" in _commands(call):
        return await cancel(call)
    if session.lock.locked():
        raise ApiError(503, "backendError", "Another request of this upload is under way.")
    async with session.lock:
        if session.result is not None:
            return _final(call, session, call.drive.access.find(call.account, session.result))
        start, stop, total = _content_range(call, session)
        writer = session.writer
        if writer is None:
            raise ApiError(410, "gone", "The upload session is over.")
        if start is not None:
            await _receive_piece(call, writer, start, stop, total)
            if stop is None and session.total is None:
                total = writer.size  # all there is came in one body, whose end says how long it is
        if total is not None and total < writer.size:
            raise _bad_range("More was received than the upload is to have.")
        if total is not None:
            session.total = total
        if session.total is None or writer.size < session.total or (start is None and total is None):
            return _incomplete(call, writer)
        await writer.sync()
        return _complete(call, session, writer)


async def cancel(call: Call) -> Response:
    session = _session(call)
    with call.drive.database.transaction():
        call.drive.uploads.cancel(session)
    return Response(status_code=499)


def _session(call: Call) -> Session:
    session = call.drive.uploads.find(call.text("upload_id"))
    if session.account != call.account.key or session.file_id != call.request.path_params.get("file_id"):
        raise ApiError(404, "notFound", "Upload session not found.", location="upload_id")
    return session


def _content_range(call: Call, session: Session) -> tuple[int | None, int | None, int | None]:
    """Return first byte, the one after the last (``None``: until the body ends), and the total if known."""
    if f"{_GOOG}command" in call.request.headers:
        return _goog_range(call)
    header = call.request.headers.get("content-range")
    if header is None:
        return 0, None, _declared_length(call)
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise _bad_range()
    first, last, size = match.groups()
    total = None if size == "*" else int(size)
    if (total is not None and total > MAX_SIZE) or (None not in (total, session.total) and total != session.total):
        raise _bad_range()
    if first is None:
        return None, None, total
    start, stop = int(first), int(last) + 1
    if stop <= start or (total is not None and stop > total):
        raise _bad_range()
    if stop != total and stop - start < SMALLEST_PIECE:
        raise _bad_range(f"A piece that is not the last must have at least {SMALLEST_PIECE} bytes.")
    return start, stop, total


def _commands(call: Call) -> set[str]:
    return {command.strip().lower() for command in call.request.headers.get(f"{_GOOG}command", "").split(",")}


def _goog_range(call: Call) -> tuple[int | None, int | None, int | None]:
    """Read the same from the headers of Google's newer protocol, which Ruby's client speaks."""
    commands = _commands(call)
    if not commands <= {"upload", "finalize", "query"} or not commands:
        raise ApiError(400, "invalid", "Invalid X-Goog-Upload-Command.", location_type="header")
    if "query" in commands:
        return None, None, None
    start = to_number(call.request.headers.get(f"{_GOOG}offset", "0"), MAX_SIZE)
    length = _declared_length(call)
    if start is None:
        raise ApiError(400, "invalid", "Invalid X-Goog-Upload-Offset.", location_type="header")
    if "upload" not in commands:
        return None, None, start
    stop = None if length is None else start + length
    if "finalize" in commands:
        return start, stop, stop
    if length is None or length < SMALLEST_PIECE:
        raise _bad_range(f"A piece that is not the last must have at least {SMALLEST_PIECE} bytes.")
    return start, stop, None


def _declared_length(call: Call) -> int | None:
    if call.request.headers.get("content-encoding"):
        return None
    return to_number(call.request.headers.get("content-length"), MAX_SIZE)


async def _receive_piece(call: Call, writer: BlobWriter, start: int, stop: int | None, total: int | None) -> None:
    """Append what is new; what a broken connection brought stays, and the client asks how far that was."""
    if start > writer.size:
        raise _bad_range("The piece does not follow what was received.")
    known = writer.size - start
    position = start
    try:
        async for chunk in call.chunks():
            position += len(chunk)
            if stop is not None and position > stop:
                raise _bad_range("The body is longer than its Content-Range says.")
            fresh = chunk[max(0, min(len(chunk), known)) :]
            known -= len(chunk) - len(fresh)
            if total is not None and writer.size + len(fresh) > total:
                raise _bad_range()
            writer.write(fresh)
    finally:
        writer.flush()
    if stop is not None and position != stop:
        raise _bad_range("The body is not as long as its Content-Range says.")


def _incomplete(call: Call, writer: BlobWriter) -> Response:
    """Say how far an upload has come; some HTTP libraries would follow a 308, and ask for a 200 in its place."""
    if f"{_GOOG}command" in call.request.headers:
        headers = {f"{_GOOG}Status": "active", f"{_GOOG}Size-Received": str(writer.size)}
        return Response(status_code=200, headers=headers)
    headers = {"Range": f"bytes=0-{writer.size - 1}"} if writer.size else {}
    if call.request.headers.get("x-guploader-no-308", "").lower() == "yes":
        return Response(status_code=200, headers={**headers, "X-HTTP-Status-Code-Override": "308"})
    return Response(status_code=308, headers=headers)


def _complete(call: Call, session: Session, writer: BlobWriter) -> Response:
    metadata = parse_metadata(session.metadata)
    content_type = session.content_type or _media_type(call.request.headers.get("content-type"))
    try:
        with call.drive.database.transaction():
            content = writer.finish()
            file = _store(call, session.file_id, metadata, content, content_type=content_type, query=session.query)
            call.drive.uploads.finish(session, file.id)
    except ApiError:
        # Its folder or its right to write is gone meanwhile; nothing the client sends will bring that back.
        with call.drive.database.transaction():
            call.drive.uploads.cancel(session)
        raise
    return _final(call, session, file)


def _final(call: Call, session: Session, file: File) -> Response:
    answer = file_answer(call, file, field_mask("files.create", session.query.get("fields")))
    if f"{_GOOG}command" in call.request.headers:
        answer.headers[f"{_GOOG}Status"] = "final"
    return answer


def _bad_range(message: str = "Invalid Content-Range.") -> ApiError:
    return ApiError(400, "invalid", message, location="Content-Range", location_type="header")
