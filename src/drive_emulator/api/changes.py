"""``changes``: the feed of an account."""

from __future__ import annotations

from starlette.responses import Response

from drive_emulator.api.call import ApiResponse, Call
from drive_emulator.errors import required
from drive_emulator.resources import costly_fields


async def get_start_page_token(call: Call) -> Response:
    call.refuse_drive()
    token = call.drive.changes.start_token(call.account.key)
    return ApiResponse(call.mask().project({"kind": "drive#startPageToken", "startPageToken": token}))


async def list_changes(call: Call) -> Response:
    mask = call.mask()
    call.refuse_drive()
    token = call.text("pageToken")
    if not token:
        raise required("pageToken", "Required parameter: pageToken")
    size = call.page_size(100, 1000)
    page = call.drive.changes.page(
        call.account,
        token,
        size,
        include_removed=call.flag("includeRemoved", default=True),
        spaces=call.spaces(),
        only_my_drive=call.flag("restrictToMyDrive"),
    )
    wanted = costly_fields(mask, "changes", "file")
    answer = {
        "kind": "drive#changeList",
        "nextPageToken" if page.more else "newStartPageToken": page.next_token,
        "changes": [call.drive.resources.change(call.account, entry, wanted) for entry in page.entries],
    }
    return ApiResponse(mask.project(answer))
