"""Files, permissions and accounts as Drive's JSON shows them to one account."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from drive_emulator.access import Access
from drive_emulator.accounts import Accounts
from drive_emulator.changelog import LogEntry
from drive_emulator.clock import to_timestamp
from drive_emulator.feed_behaviour import FeedBehaviour
from drive_emulator.fields import Mask
from drive_emulator.model import APP_DATA, DRIVE, Account, File, Permission, Role, View, rank

_COSTLY = ("parents", "owners", "lastModifyingUser", "capabilities", "shared", "permissions", "permissionIds")
"""Fields of a file that take look-ups to build."""

_ICONS = "https://drive-thirdparty.googleusercontent.com/16/type/"


def costly_fields(mask: Mask, *path: str) -> frozenset[str]:
    """Return which of a file's costly fields a mask wants; the file lies at ``path`` in the answer."""
    return frozenset(field for field in _COSTLY if mask.selects(*path, field))


class Resources:
    """Builds resources; reads, never writes."""

    def __init__(self, accounts: Accounts, access: Access, behaviour: FeedBehaviour) -> None:
        self._accounts = accounts
        self._access = access
        self._behaviour = behaviour

    def user(self, key: str, viewer: Account) -> dict[str, Any]:
        """Return the ``drive#user`` resource; of others, Drive may hide the address or all."""
        account = self._accounts.show(key)
        if key != viewer.key and _among(key, self._behaviour.hidden_users):
            return {}
        user = {
            "kind": "drive#user",
            "displayName": account.display_name,
            "me": account.key == viewer.key,
            "permissionId": account.permission_id,
        }
        if key == viewer.key or not _among(key, self._behaviour.hidden_addresses):
            user["emailAddress"] = account.email
        return user

    def _add_user(self, resource: dict[str, Any], field: str, key: str, viewer: Account) -> None:
        if user := self.user(key, viewer):
            resource[field] = [user] if field == "owners" else user

    def file(self, viewer: Account, file: File, view: View, wanted: Collection[str]) -> dict[str, Any]:
        """Return the ``drive#file`` resource as the viewer sees it; of the costly fields, those wanted."""
        role = view.role or self._access.role(viewer, file, view)
        resource: dict[str, Any] = {
            "kind": "drive#file",
            "id": file.id,
            "name": file.name,
            "mimeType": file.mime_type,
            "starred": view.starred,
            "trashed": file.trashed,
            "explicitlyTrashed": file.explicitly_trashed,
            "spaces": [DRIVE if view.app is None else APP_DATA],
            "version": str(file.version),
            "createdTime": to_timestamp(file.created),
            "modifiedTime": to_timestamp(file.modified),
            "modifiedByMe": view.modified is not None,
            "viewedByMe": view.viewed is not None,
            "ownedByMe": file.owner == viewer.key,
            "isAppAuthorized": True,
            "quotaBytesUsed": str(file.content.size if file.content else 0),
            "viewersCanCopyContent": not file.settings.get("copyRequiresWriterPermission"),
            "copyRequiresWriterPermission": False,
            "writersCanShare": True,
            "hasThumbnail": False,
            "thumbnailVersion": "0",
            "webViewLink": _web_view_link(file),
            "iconLink": _ICONS + file.mime_type,
            **file.settings,
        }
        if restrictions := resource.pop("contentRestrictions", None):
            resource["contentRestrictions"] = [
                {**one, "restrictingUser": self.user(one["restrictingUser"], viewer)} for one in restrictions
            ]
        if view.sees_parent or ("parents" in wanted and self._sees_by_link(viewer, file)):
            resource["parents"] = [file.parent]
        if "owners" in wanted:
            self._add_user(resource, "owners", file.owner, viewer)
        if "lastModifyingUser" in wanted:
            self._add_user(resource, "lastModifyingUser", file.modified_by, viewer)
        if "capabilities" in wanted:
            resource["capabilities"] = _capabilities(file, role)
        self._add_content(resource, file)
        self._add_sharing(resource, viewer, file, role, wanted)
        if file.properties:
            resource["properties"] = dict(file.properties)
        if file.app_properties:
            resource["appProperties"] = dict(file.app_properties)
        self._add_personal(resource, viewer, view)
        return resource

    def _sees_by_link(self, viewer: Account, file: File) -> bool:
        """Tell whether the viewer sees the folder that the file lies in by its link; nobody shares My Drive itself."""
        if file.parent is None or file.parent == self._accounts.show(file.owner).root_id:
            return False
        return self._access.role_on(viewer, file.parent) is not None

    def _add_content(self, resource: dict[str, Any], file: File) -> None:
        if file.content is None:
            return
        extension = file.name.rpartition(".")[2] if "." in file.name else ""
        resource |= {
            "size": str(file.content.size),
            "md5Checksum": file.content.md5,
            "sha1Checksum": file.content.sha1,
            "sha256Checksum": file.content.sha256,
            "headRevisionId": file.revision,
            "originalFilename": file.original_name,
            "fileExtension": extension,
            "fullFileExtension": extension,
            "webContentLink": f"https://drive.google.com/uc?id={file.id}&export=download",
        }

    def _add_sharing(
        self, resource: dict[str, Any], viewer: Account, file: File, role: Role | None, wanted: Collection[str]
    ) -> None:
        if not {"shared", "permissions", "permissionIds"}.intersection(wanted):
            return
        permissions = self._access.effective_permissions(file)
        resource["shared"] = len(permissions) > 1
        if rank(role) >= rank("writer"):
            resource["permissions"] = [self.permission(viewer, permission) for permission in permissions]
            resource["permissionIds"] = [permission.id for permission in permissions]

    def _add_personal(self, resource: dict[str, Any], viewer: Account, view: View) -> None:
        if view.viewed is not None:
            resource["viewedByMeTime"] = to_timestamp(view.viewed)
        if view.modified is not None:
            resource["modifiedByMeTime"] = to_timestamp(view.modified)
        if view.shared_at is not None and view.shared_by is not None and view.role != "owner":
            resource["sharedWithMeTime"] = to_timestamp(view.shared_at)
            self._add_user(resource, "sharingUser", view.shared_by, viewer)

    def permission(self, viewer: Account, permission: Permission) -> dict[str, Any]:
        """Return the ``drive#permission`` resource."""
        resource: dict[str, Any] = {
            "kind": "drive#permission",
            "id": permission.id,
            "type": permission.type,
            "role": permission.role,
        }
        if permission.type in ("user", "group"):
            user = self.user(permission.grantee, viewer)
            resource |= {field: user[field] for field in ("emailAddress", "displayName") if field in user}
            resource |= {"deleted": False, "pendingOwner": False}
        elif permission.type == "domain":
            resource |= {"domain": permission.grantee, "displayName": permission.grantee}
        if permission.type in ("domain", "anyone"):
            resource["allowFileDiscovery"] = permission.discoverable
        if permission.expires is not None:
            resource["expirationTime"] = to_timestamp(permission.expires)
        return resource

    def change(self, viewer: Account, entry: LogEntry, wanted: Collection[str]) -> dict[str, Any]:
        """Return the ``drive#change`` resource: the file's current state, or a tombstone."""
        resource: dict[str, Any] = {
            "kind": "drive#change",
            "type": "file",
            "changeType": "file",
            "time": to_timestamp(entry.time),
            "removed": entry.file is None,
            "fileId": entry.file_id,
        }
        if entry.file is not None:
            resource["file"] = self.file(viewer, entry.file, entry.view, wanted)
        return resource

    def revision(self, viewer: Account, file: File) -> dict[str, Any]:
        """Return the ``drive#revision`` resource of the head, the only one that is kept."""
        resource: dict[str, Any] = {
            "kind": "drive#revision",
            "id": file.revision,
            "mimeType": file.mime_type,
            "modifiedTime": to_timestamp(file.modified),
            "keepForever": False,
            "published": False,
            "originalFilename": file.original_name,
        }
        self._add_user(resource, "lastModifyingUser", file.modified_by, viewer)
        if file.content is not None:
            resource |= {"md5Checksum": file.content.md5, "size": str(file.content.size)}
        return resource


def _among(key: str, addresses: Collection[str]) -> bool:
    return any(address.lower() == key for address in addresses)


def _web_view_link(file: File) -> str:
    if file.is_folder:
        return f"https://drive.google.com/drive/folders/{file.id}"
    return f"https://drive.google.com/file/d/{file.id}/view?usp=drivesdk"


def _capabilities(file: File, role: Role | None) -> dict[str, bool]:
    edits, owns = rank(role) >= rank("writer"), role == "owner"
    writes = edits and not file.restrictions
    copies = not file.is_folder and file.is_copied_by(role)
    return {
        "canAddChildren": edits and file.is_folder,
        "canChangeViewersCanCopyContent": edits,
        "canComment": rank(role) >= rank("commenter"),
        "canCopy": copies,
        "canDelete": owns,
        "canDownload": copies,
        "canEdit": edits,
        "canListChildren": file.is_folder,
        "canModifyContent": writes,
        "canMoveItemWithinDrive": edits,
        "canReadRevisions": edits and not file.is_folder,
        "canRemoveChildren": edits and file.is_folder,
        "canRename": writes,
        "canShare": edits,
        "canTrash": owns,
        "canUntrash": owns,
    }
