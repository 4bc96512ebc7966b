"""What others do to a file behind a caller's back: rename it, rewrite it, give it away."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drive_emulator.accounts import is_address
from drive_emulator.errors import invalid, not_found
from drive_emulator.metadata import Metadata, parse_metadata
from drive_emulator.records import load_file

if TYPE_CHECKING:
    from drive_emulator.drive import Drive


@dataclass(frozen=True, slots=True)
class Alteration:
    """A change of one file; what is ``None`` stays.

    Attributes:
        metadata: What a ``files.update`` would be sent: ``name``, ``properties``, ``modifiedTime`` …
        content: The new body, in base64.
        owner: Address of the account that shall own it.
        by: Address of the account that does it, within its rights; the file's owner by default.
    """

    metadata: dict[str, Any] | None = None
    content: str | None = None
    owner: str | None = None
    by: str | None = None

    def check(self) -> tuple[Metadata, bytes | None]:
        """Return what becomes of the file's metadata, and the new body; refuse what Drive would."""
        for name, address in (("owner", self.owner), ("by", self.by)):
            if address is not None and not is_address(address):
                raise invalid(name, f"{name} is an e-mail address.")
        try:
            body = None if self.content is None else base64.b64decode(self.content, validate=True)
        except ValueError as error:
            raise invalid("content", "The content of an alteration comes in base64.") from error
        return parse_metadata({} if self.metadata is None else self.metadata), body


def alter(drive: Drive, file_id: str, alteration: Alteration) -> None:
    """Change a file, as the account that does it could; its feed entries appear as ever."""
    metadata, body = alteration.check()
    with drive.database.transaction():
        if (file := load_file(drive.database, file_id)) is None:
            raise not_found(file_id)
        actor = drive.accounts.ensure(alteration.by or file.owner)
        if body is not None or alteration.metadata:
            drive.files.update(actor, file_id, metadata, content=None if body is None else drive.blobs.keep(body))
        if alteration.owner is not None:
            grant = {"type": "user", "role": "owner", "emailAddress": alteration.owner}
            drive.permissions.create(actor, file_id, grant, transfer_ownership=True)
