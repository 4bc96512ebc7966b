"""``permissions``."""

from __future__ import annotations

from starlette.responses import Response

from drive_emulator.api.call import ApiResponse, Call
from drive_emulator.errors import ApiError
from drive_emulator.model import Permission


def _answer(call: Call, permission: Permission) -> Response:
    return ApiResponse(call.mask().project(call.drive.resources.permission(call.account, permission)))


async def create(call: Call) -> Response:
    call.mask()
    transfer, move = call.flag("transferOwnership"), call.flag("moveToNewOwnersRoot")
    notify = call.flag("sendNotificationEmail", default=True)
    body = await call.json()
    if transfer and not notify:
        message = "The sendNotificationEmail parameter can't be false for a transfer of ownership."
        raise ApiError(403, "forbidden", message, location="sendNotificationEmail")
    with call.drive.database.transaction():
        permission = call.drive.permissions.create(
            call.account, call.path("file_id"), body, transfer_ownership=transfer, move_to_root=move
        )
    return _answer(call, permission)


async def list_permissions(call: Call) -> Response:
    mask = call.mask()
    size = (
        call.page_size(100, 100) if "pageSize" in call.request.query_params else None
    )  # all, outside of shared drives
    offset = call.number("pageToken", 0, 0, 999_999_999)
    permissions = call.drive.permissions.list(call.account, call.path("file_id"))
    page = permissions[offset : None if size is None else offset + size]
    answer = {
        "kind": "drive#permissionList",
        "permissions": [call.drive.resources.permission(call.account, p) for p in page],
    }
    if offset + len(page) < len(permissions):
        answer["nextPageToken"] = str(offset + len(page))
    return ApiResponse(mask.project(answer))


async def get(call: Call) -> Response:
    permission = call.drive.permissions.get(call.account, call.path("file_id"), call.path("permission_id"))
    return _answer(call, permission)


async def update(call: Call) -> Response:
    call.mask()
    transfer = call.flag("transferOwnership")
    body = await call.json()
    with call.drive.database.transaction():
        permission = call.drive.permissions.update(
            call.account,
            call.path("file_id"),
            call.path("permission_id"),
            body,
            transfer_ownership=transfer,
            remove_expiration=call.flag("removeExpiration"),
        )
    return _answer(call, permission)


async def delete(call: Call) -> Response:
    with call.drive.database.transaction():
        call.drive.permissions.delete(call.account, call.path("file_id"), call.path("permission_id"))
    return Response(status_code=204)
