"""Whether a file in an inbox counts as a message: a pure decision on what Drive attests."""

from __future__ import annotations

from syft_flwr import wire
from syft_flwr.drive.folders import Location, belongs_to, owners_within
from syft_flwr.errors import InvalidNameError
from syft_flwr.models import DriveFile, Message, Rejection, RejectionReason


def admit(file: DriveFile, location: Location, me: str, *, max_size: int) -> Message | Rejection | None:
    """Judge a file by its metadata; its body stays unread.

    A folder's name proves nothing: only the file's owner, which Drive attests, tells who the sender is.

    Args:
        file: The candidate.
        location: Where it lies.
        me: This account's address.
        max_size: Largest body to take, in bytes.

    Returns:
        The message, why it is none, or ``None`` for a file in an inbox that is not addressed to ``me``.
    """
    sender, recipient = location.inbox.sender, location.inbox.recipient
    author, myself = sender.lower(), me.lower()
    if recipient.lower() != myself:
        return None

    def reject(reason: RejectionReason, detail: str) -> Rejection:
        owner = ", ".join(file.owners) or file.last_modifying_user or ""
        return Rejection(reason, file.id, detail, file_name=file.name, claimed_sender=sender, owner=owner)

    if not belongs_to(location.root, (author, myself)):
        owner, editor = ", ".join(location.root.owners) or "nobody", location.root.last_modifying_user
        detail = f"its inbox belongs to {owner} and was last changed by {editor}, not by {sender} or {me} alone"
        return reject(RejectionReason.FOREIGN_FOLDER, detail)
    if not owners_within(file, (author,)):
        return reject(RejectionReason.FORGED_SENDER, f"it lies in an inbox of {sender}, who does not own it")
    editor = file.last_modifying_user
    if editor is not None and editor.lower() not in (author, myself):
        return reject(RejectionReason.FORGED_SENDER, f"it was changed by {editor}, who is not its sender {sender}")
    try:
        kind, future_id = wire.parse_message_name(file.name)
        app, endpoint = wire.validate_app(location.app), wire.validate_endpoint(location.endpoint)
    except InvalidNameError as error:
        return reject(RejectionReason.BAD_NAME, str(error))
    if file.size is None:
        return reject(RejectionReason.BAD_NAME, "it has a message's name but no content of its own")
    if file.size > max_size:
        return reject(RejectionReason.TOO_LARGE, f"it has {file.size} bytes; the limit is {max_size}")
    return Message(
        kind=kind,
        sender=sender,
        recipient=recipient,
        app=app,
        endpoint=endpoint,
        future_id=future_id,
        file_id=file.id,
        folder_id=location.folder_id,
        size=file.size,
        created_time=file.created_time,
        sha256=file.sha256,
        properties=dict(file.properties),
    )
