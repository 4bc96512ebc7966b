"""Downloads: ``alt=media``, whole or in ranges, streamed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from drive_emulator.api.call import Call
from drive_emulator.errors import ApiError, forbidden
from drive_emulator.model import Content, File, Role

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def require_download(file: File, role: Role) -> None:
    """Raise 403 where only who may write may take the content away."""
    if not file.is_copied_by(role):
        raise forbidden("cannotDownloadFile", "This file cannot be downloaded by the user.")


def download(call: Call, file: File, role: Role) -> Response:
    """Answer with a file's content, or the one range that was asked for, to who has this role."""
    content = file.content
    if content is None:
        message = "Only files with binary content can be downloaded. Use Export with Docs Editors files."
        raise ApiError(403, "fileNotDownloadable", message, location="alt")
    require_download(file, role)
    headers = {"Accept-Ranges": "bytes", "Content-Type": file.mime_type}
    wanted = parse_range(call.request.headers.get("range"), content.size)
    start, stop = wanted or (0, content.size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    headers["Content-Length"] = str(stop - start)
    status = 200 if wanted is None else 206
    if content.blob.startswith("db:") and call.plan.bytes_per_second is None and call.plan.during is None:
        return Response(b"".join(call.drive.blobs.read(content.blob, start, stop)), status, headers=headers)
    return StreamingResponse(_stream(call, content, start, stop), status, headers=headers)


async def _stream(call: Call, content: Content, start: int, stop: int) -> AsyncIterator[bytes]:
    sent = 0
    for chunk in call.drive.blobs.read(content.blob, start, stop):
        await call.throttle(len(chunk))
        if call.plan.during is not None and sent + len(chunk) > (stop - start) // 2:
            yield chunk[: (stop - start) // 2 - sent]
            await call.break_off(call.plan.during)
            return
        sent += len(chunk)
        yield chunk


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last, or ``None`` for all; several ranges at once count as all."""
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= stop:
        raise ApiError(
            416,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
            location="Range",
            location_type="header",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop
