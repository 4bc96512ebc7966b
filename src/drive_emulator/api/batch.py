"""Batches: each call within goes through the application as if it had come alone."""

from __future__ import annotations

import secrets
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from drive_emulator.api.call import error_response, read_bounded, unzipped
from drive_emulator.api.routing import Request
from drive_emulator.batch import BatchRequest, BatchResponse, join_batch, split_batch
from drive_emulator.errors import ApiError

MAX_BATCH = 16 * 1024 * 1024
"""Largest batch body, in bytes; batches carry no media."""


async def batch(application: ASGIApp, request: Request) -> Response:
    """Run the calls of a batch through ``application``, in order."""
    too_large = ApiError(413, "uploadTooLarge", "The batch request is too large.")
    try:
        body = await read_bounded(unzipped(request, request.stream()), MAX_BATCH, too_large)
        calls = split_batch(request.headers.get("content-type", ""), body)
    except ApiError as error:
        return error_response(error)
    answers = [await _carry_out(application, request, call) for call in calls]
    content_type, joined = join_batch(answers, boundary=f"batch_{secrets.token_urlsafe(24)}")
    return Response(joined, headers={"Content-Type": content_type})


async def _carry_out(application: ASGIApp, outer: Request, call: BatchRequest) -> BatchResponse:
    path, _, query = call.target.partition("?")
    if path.startswith(("/batch", "/upload", "/resumable", "/emulator")):
        error = error_response(ApiError(400, "badRequest", "Batches carry plain calls only."))
        return BatchResponse(error.status_code, dict(error.headers), bytes(error.body), call.content_id)
    if "alt=media" in query.split("&"):
        # Media does not travel in a batch: Google redirects to where it can be had.
        location = f"{outer.base_url}download{call.target}"
        return BatchResponse(302, {"Location": location, "Content-Length": "0"}, b"", call.content_id)
    # The batch's own headers hold for each call, unless they are about its body or the call has its own.
    headers = {name: value for name, value in outer.headers.items() if not name.startswith("content-")} | call.headers
    scope: Scope = {
        **outer.scope,
        "method": call.method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }
    return await _run(application, scope, call)


async def _run(application: ASGIApp, scope: Scope, call: BatchRequest) -> BatchResponse:
    status, headers, body = 500, {}, bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            body.extend(message.get("body", b""))

    await application(scope, receive, send)
    return BatchResponse(status, headers, bytes(body), call.content_id)
