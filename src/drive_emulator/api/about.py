"""``about``."""

from __future__ import annotations

from starlette.responses import Response

from drive_emulator.api.call import ApiResponse, Call
from drive_emulator.errors import no_shared_drive


async def get(call: Call) -> Response:
    mask = call.mask()
    sql = "SELECT TOTAL(size), TOTAL(CASE WHEN trashed THEN size END) FROM file WHERE owner = ?"
    used, trashed = call.drive.database.row(sql, call.account.key) or (0, 0)
    return ApiResponse(
        mask.project(
            {
                "kind": "drive#about",
                "user": call.drive.resources.user(call.account.key, call.account),
                "storageQuota": {
                    "limit": str(15 * 1024**3),
                    "usage": str(int(used)),
                    "usageInDrive": str(int(used)),
                    "usageInDriveTrash": str(int(trashed)),
                },
                "importFormats": {},
                "exportFormats": {},
                "maxImportSizes": {},
                "maxUploadSize": str(5 * 1024**4),
                "appInstalled": False,
                "folderColorPalette": [],
                "driveThemes": [],
                "canCreateDrives": False,
                "canCreateTeamDrives": False,
                "teamDriveThemes": [],
            }
        )
    )


async def get_drive(call: Call) -> Response:
    raise no_shared_drive(call.path("drive_id"))


async def list_drives(call: Call) -> Response:
    """Tell of no shared drives: the accounts are personal ones."""
    call.page_size(10, 100)
    return ApiResponse(call.mask().project({"kind": "drive#driveList", "drives": []}))
