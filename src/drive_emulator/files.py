"""Files and folders: create, update, copy, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from drive_emulator.access import Access, require
from drive_emulator.blobs import BlobStore
from drive_emulator.changelog import ChangeLog
from drive_emulator.clock import LATEST, EmulatorClock, to_timestamp
from drive_emulator.errors import ApiError, forbidden, insufficient_file_permissions, invalid
from drive_emulator.ids import is_reserved, new_file_id
from drive_emulator.metadata import Metadata, merge_properties
from drive_emulator.model import FOLDER_MIME_TYPE, Account, Content, File, Role, View, not_for_app_data, rank
from drive_emulator.records import (
    insert_file,
    load_children,
    load_file,
    load_roles,
    set_view,
    update_file,
)
from drive_emulator.storage import Database

_GOOGLE_TYPES = "application/vnd.google-apps."


class Files:
    """Writes files, each call within the caller's transaction; every check comes before the first write."""

    def __init__(
        self, database: Database, blobs: BlobStore, access: Access, changes: ChangeLog, clock: EmulatorClock
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._access = access
        self._changes = changes
        self._clock = clock

    def check_create(self, account: Account, metadata: Metadata, *, with_content: bool) -> tuple[File, View]:
        """Check all that can be known before the content comes, and return the folder, as the account sees it."""
        if metadata.id is not None:
            if not is_reserved(metadata.id):
                raise invalid("file.id", "The provided file ID is not usable.")
            if load_file(self._database, metadata.id) is not None or self._was_used(metadata.id):
                raise ApiError(409, "fileIdInUse", "A file already exists with the provided ID.", location="file.id")
        if with_content and account.key.endswith(".gserviceaccount.com"):
            message = (
                "Service Accounts do not have storage quota. Leverage shared drives, or use OAuth delegation instead."
            )
            raise ApiError(403, "storageQuotaExceeded", message, domain="usageLimits")
        if with_content and (metadata.mime_type or "").startswith(_GOOGLE_TYPES):
            raise invalid("mimeType", "A file of this type has no content of its own.")
        merge_properties({}, metadata.properties)
        merge_properties({}, metadata.app_properties)
        if (shortcut := metadata.settings.get("shortcutDetails")) is not None:
            self._access.find(account, shortcut["targetId"])
        parent = metadata.parents[0] if metadata.parents else "root"
        return self._target_folder(account, parent)

    def create(
        self, account: Account, metadata: Metadata, content: Content | None, content_type: str | None = None
    ) -> File:
        """Store a new file. Its content must be stored already.

        Raises:
            ApiError: 400, 403, 404 or 409; nothing was written.
        """
        folder, view = self.check_create(account, metadata, with_content=content is not None)
        now = self._clock.milliseconds()
        mime_type = metadata.mime_type or content_type or "application/octet-stream"
        if content is None and not mime_type.startswith(_GOOGLE_TYPES):
            content = self._blobs.keep()
        name = "Untitled" if metadata.name is None else metadata.name
        created = now if metadata.created is None else metadata.created
        modified = created if metadata.modified is None else metadata.modified
        file = File(
            id=metadata.id or new_file_id(),
            name=name,
            mime_type=mime_type,
            parent=folder.id,
            owner=account.key,
            created=created,
            modified=modified,
            modified_by=account.key,
            trashed=folder.trashed,
            content=content,
            revision=None if content is None else new_file_id(),
            original_name=None if content is None else metadata.original_name or name,
            properties=merge_properties({}, metadata.properties),
            app_properties=merge_properties({}, metadata.app_properties),
            settings=self._settings(account, metadata, {}),
        )
        insert_file(self._database, file, now)
        self._access.open(account, file.id)
        self._access.place(file)
        starred = int(metadata.starred or False)
        set_view(self._database, account.key, file.id, modified=now, starred=starred, app=view.app)
        return file

    def update(
        self,
        account: Account,
        file_id: str,
        metadata: Metadata,
        *,
        content: Content | None = None,
        content_type: str | None = None,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> File:
        """Change a file's metadata, its content, its folder, or its place in the trash.

        Raises:
            ApiError: 400, 403 or 404; nothing was written.
        """
        file, view, role = self.check_update(account, file_id, metadata, with_content=content is not None)
        parent = self._moved(account, file, role, add, remove)
        app = self._database.row("SELECT app FROM view WHERE account = ? AND file_id = ?", account.key, parent)
        if (app or (None,))[0] != view.app:
            raise not_for_app_data()
        properties = merge_properties(file.properties, metadata.properties)
        app_properties = merge_properties(file.app_properties, metadata.app_properties)
        now = self._clock.milliseconds()

        personal = {"starred": metadata.starred, "viewed": metadata.viewed}
        if given := {key: int(value) for key, value in personal.items() if value is not None}:
            set_view(self._database, account.key, file.id, **given)
        file.version += 1
        if metadata.is_personal and content is None and parent == file.parent:
            update_file(self._database, file)
            if view.role is not None:
                self._changes.append(file.id, {account.key: view.role})
            return file
        file.parent = parent
        file.name = file.name if metadata.name is None else metadata.name
        file.mime_type = metadata.mime_type or (content_type if content else None) or file.mime_type
        file.created = file.created if metadata.created is None else metadata.created
        file.properties = properties
        file.app_properties = app_properties
        file.settings = self._settings(account, metadata, file.settings)
        file.original_name = metadata.original_name or file.original_name
        if content is not None:
            self._replace_content(file, content)
        if metadata != Metadata(trashed=metadata.trashed, starred=metadata.starred, viewed=metadata.viewed) or content:
            # Strictly rising, so that two edits within a millisecond can be told apart.
            later = min(max(now, file.modified + 1), LATEST)
            file.modified = later if metadata.modified is None else metadata.modified
            file.modified_by = account.key
            set_view(self._database, account.key, file.id, modified=file.modified)
        if metadata.trashed is not None:
            file.explicitly_trashed = metadata.trashed
        update_file(self._database, file)
        self._access.refresh(file)
        return file

    def check_update(
        self, account: Account, file_id: str, metadata: Metadata, *, with_content: bool
    ) -> tuple[File, View, Role]:
        """Check all that can be known before the content comes, and return the file, as the account sees it."""
        file, view, role = self._access.see(account, file_id)
        _check_writable(file, metadata)
        if not metadata.is_personal or with_content:
            # Who may only edit the folder can still take the file out of it; _moved checks that.
            require(file, role, "writer")
        if file.restrictions:
            self._check_restricted(file, role, metadata, with_content=with_content)
        if file.id == account.root_id:
            raise forbidden("cannotModifyRoot", "My Drive itself can't be changed.")
        if metadata.trashed and view.app is not None:
            raise not_for_app_data("Files within the Application Data folder cannot be trashed.")
        if metadata.trashed is not None and metadata.trashed != file.explicitly_trashed:
            require(file, role, "owner")
        mime_type = metadata.mime_type or file.mime_type
        if with_content and (file.is_folder or mime_type.startswith(_GOOGLE_TYPES)):
            raise invalid("mimeType", "A file of this type has no content of its own.")
        if (mime_type == FOLDER_MIME_TYPE) != file.is_folder:
            raise invalid("mimeType", "A file can't become a folder, nor a folder a file.")
        return file, view, role

    def _check_restricted(self, file: File, role: Role, metadata: Metadata, *, with_content: bool) -> None:
        """Refuse to write what is restricted; a call may lift the restriction and write at once."""
        given = metadata.settings.get("contentRestrictions")
        if given is not None and any(one.get("ownerRestricted") for one in file.restrictions):
            require(file, role, "owner")
        if given != [] and (with_content or metadata.name not in (None, file.name)):
            raise insufficient_file_permissions(file.id)

    def copy(self, account: Account, file_id: str, metadata: Metadata) -> File:
        """Make a file of the caller's own with the same content.

        Raises:
            ApiError: 403 for a folder, and where only who may write may copy; else as :meth:`create`.
        """
        source, _, role = self._access.see(account, file_id)
        if source.is_folder or not source.is_copied_by(role):
            raise forbidden("cannotCopyFile", "This file cannot be copied by the user.")
        parents = metadata.parents or ("root",)
        if metadata.parents is None and self._can_edit(account, source.parent):
            parents = (str(source.parent),)
        wanted = Metadata(
            id=metadata.id,
            name=f"Copy of {source.name}" if metadata.name is None else metadata.name,
            mime_type=metadata.mime_type or source.mime_type,
            parents=parents,
            created=metadata.created,
            modified=metadata.modified,
            starred=metadata.starred,
            properties={**source.properties, **metadata.properties},
            app_properties={**source.app_properties, **metadata.app_properties},
            settings={**source.settings, **metadata.settings},
        )
        self.check_create(account, wanted, with_content=source.content is not None)
        content = None if source.content is None else self._blobs.copy(source.content)
        return self.create(account, wanted, content)

    def delete(self, account: Account, file_id: str) -> None:
        """Delete a file for good, and of what lies below it all that the caller owns; the rest loses its folder.

        Raises:
            ApiError: 403 unless the caller owns it.
        """
        file = self._access.find(account, file_id)
        if file.owner != account.key or file.id == account.root_id:
            raise insufficient_file_permissions(file_id)
        self._delete_tree(account, file)

    def empty_trash(self, account: Account) -> None:
        sql = "SELECT id FROM file WHERE owner = ? AND explicitly_trashed"
        for (file_id,) in self._database.rows(sql, account.key):
            if (file := load_file(self._database, file_id)) is not None:
                self._delete_tree(account, file)

    def _delete_tree(self, account: Account, top: File) -> None:
        orphans: list[File] = []
        waiting = [top]
        while waiting:
            file = waiting.pop()
            children = [load_file(self._database, child) for child in load_children(self._database, file.id)]
            waiting.extend(child for child in children if child is not None)
            if file.owner == account.key:
                self._remove(file)
                orphans += [child for child in children if child is not None and child.owner != account.key]
        for orphan in orphans:
            orphan.parent = None
            orphan.version += 1
            update_file(self._database, orphan)
            self._access.refresh(orphan)

    def _remove(self, file: File) -> None:
        self._changes.append(file.id, dict.fromkeys(load_roles(self._database, file.id)))
        self._database.execute("DELETE FROM permission WHERE file_id = ?", file.id)
        self._database.execute("DELETE FROM file WHERE id = ?", file.id)
        if file.content is not None:
            self._blobs.remove(file.content.blob)

    def _replace_content(self, file: File, content: Content) -> None:
        if file.content is not None:
            self._blobs.remove(file.content.blob)
        file.content = content
        file.revision = new_file_id()

    def _settings(self, account: Account, metadata: Metadata, held: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept as it was given; Drive tells what a shortcut leads to, and who restricts."""
        settings = dict(metadata.settings)
        if (shortcut := settings.get("shortcutDetails")) is not None:
            target = self._access.find(account, shortcut["targetId"])
            settings["shortcutDetails"] = {**shortcut, "targetMimeType": target.mime_type}
        if restrictions := settings.get("contentRestrictions"):
            known = {"type": "globalContentRestriction", "systemRestricted": False, "restrictingUser": account.key}
            time = to_timestamp(self._clock.milliseconds())
            settings["contentRestrictions"] = [{**one, **known, "restrictionTime": time} for one in restrictions]
        settings = {**held, **settings}
        return {key: value for key, value in settings.items() if value is not None}

    def _moved(
        self, account: Account, file: File, role: Role, add: Collection[str], remove: Collection[str]
    ) -> str | None:
        """Return the folder that the file shall lie in."""
        held = file.parent
        removed = {self._access.resolve(account, parent) for parent in remove}
        added = [self._target_folder(account, parent)[0] for parent in dict.fromkeys(add)]
        new = [folder for folder in added if folder.id != held]
        if not new:
            if held not in removed or any(folder.id == held for folder in added):
                return held
            if held is None or not (rank(role) >= rank("writer") or self._can_edit(account, held)):
                raise insufficient_file_permissions(file.id)
            # What has no folder any more lies in its owner's My Drive.
            return self._root_of(file.owner)
        # An owner's file moves; others must take it out of the folder that it lies in, and so must see that.
        leaves = held is None or held in removed or file.owner == account.key
        if len(new) > 1 or not leaves:
            raise forbidden("cannotAddParent", "Increasing the number of parents is not allowed")
        require(file, role, "writer")
        self._check_cycle(file, new[0])
        return new[0].id

    def _check_cycle(self, file: File, folder: File) -> None:
        ancestor: File | None = folder
        while ancestor is not None:
            if ancestor.id == file.id:
                raise ApiError(400, "cyclicParents", "A folder can't lie within itself.")
            ancestor = None if ancestor.parent is None else load_file(self._database, ancestor.parent)

    def _target_folder(self, account: Account, folder_id: str) -> tuple[File, View]:
        folder, view, role = self._access.see(account, folder_id)
        if not folder.is_folder:
            raise forbidden("parentNotAFolder", "The specified parent is not a folder.")
        error = forbidden("insufficientParentPermissions", "Insufficient permissions for the specified parent.")
        require(folder, role, "writer", error)
        return folder, view

    def _can_edit(self, account: Account, file_id: str | None) -> bool:
        role = None if file_id is None else self._access.role_on(account, file_id)
        return rank(role) >= rank("writer")

    def _root_of(self, key: str) -> str | None:
        row = self._database.row("SELECT root_id FROM account WHERE key = ?", key)
        return None if row is None else row[0]

    def _was_used(self, file_id: str) -> bool:
        return self._database.row("SELECT 1 FROM view WHERE file_id = ? LIMIT 1", file_id) is not None


def _check_writable(file: File, metadata: Metadata) -> None:
    """Refuse what can be set when a file is made, and not later."""
    message = ""
    if metadata.id not in (None, file.id):
        message = "The resource body includes fields which are not directly writable: id."
    elif metadata.parents is not None:
        message = "The parents field is not directly writable in update requests. Use addParents and removeParents."
    elif "shortcutDetails" in metadata.settings and _target(metadata.settings) != _target(file.settings):
        message = "The target of a shortcut is set when it is made."
    if message:
        raise forbidden("fieldNotWritable", message)


def _target(settings: Mapping[str, Any]) -> str | None:
    target: str | None = (settings.get("shortcutDetails") or {}).get("targetId")
    return target
