"""Whether a file in an inbox counts as a message: a pure decision on what Drive attests."""

from __future__ import annotations

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.drive.folders import Location
from syft_flwr.drive.identities import Identities
from syft_flwr.errors import InvalidNameError
from syft_flwr.inline import split
from syft_flwr.models import DriveFile, Message, Rejection, RejectionReason
from syft_flwr.state.processed import AHEAD

_HIDDEN = "somebody whom Drive does not show"


def admit(
    file: DriveFile, location: Location, me: str, *, identities: Identities, max_size: int, now: float | None
) -> Message | Rejection | None:
    """Judge a file by its metadata; its body stays unread.

    A folder's name proves nothing: only the file's owner, which Drive attests, tells who the sender is.

    Args:
        file: The candidate.
        location: Where it lies.
        me: This account's address.
        identities: Tell whom Drive attests; the sender's is kept at first sight.
        max_size: Largest body to take, in bytes.
        now: Drive's time, Unix seconds; ``None`` if it is in doubt, and a time to come no reason to refuse.

    Returns:
        The message, why it is none, or ``None`` for a file in an inbox that is not addressed to ``me``.
    """
    sender, recipient = location.inbox.sender, location.inbox.recipient
    if not same_address(recipient, me):
        return None

    def reject(reason: RejectionReason, detail: str) -> Rejection:
        owner = ", ".join(file.owners) or file.last_modifying_user or ""
        return Rejection(reason, file.id, detail, file_name=file.name, claimed_sender=sender, owner=owner)

    parties = (sender, me)
    if not identities.vouch_for(parties, location.root):
        owner = ", ".join(owner or _HIDDEN for owner in location.root.owners) or "nobody"
        editor = location.root.last_modifying_user or _HIDDEN
        detail = f"its inbox belongs to {owner} and was last changed by {editor}, not by {sender} or {me} alone"
        return reject(RejectionReason.FOREIGN_FOLDER, detail)
    if not identities.owns((sender,), file):
        return reject(RejectionReason.FORGED_SENDER, f"it lies in an inbox of {sender}, who does not own it")
    if not identities.changed_last(parties, file):
        editor = file.last_modifying_user or _HIDDEN
        return reject(RejectionReason.FORGED_SENDER, f"it was changed by {editor}, who is not its sender {sender}")
    try:
        kind, future_id = wire.parse_message_name(file.name)
        app, endpoint = wire.validate_app(location.app), wire.validate_endpoint(location.endpoint)
    except InvalidNameError as error:
        return reject(RejectionReason.BAD_NAME, str(error))
    if now is not None and file.created_time > wire.timestamp(now + AHEAD):
        return reject(RejectionReason.BAD_TIME, f"it claims to be made at {file.created_time}, which is yet to come")
    if file.size is None:
        return reject(RejectionReason.BAD_NAME, "it has a message's name but no content of its own")
    if file.size > max_size:
        return reject(RejectionReason.TOO_LARGE, f"it has {file.size} bytes; the limit is {max_size}")
    identities.pin(sender, (file.owner_ids or (None,))[0] if file.owners else file.editor_id)
    inlined, properties = split(file.properties) if file.properties else (file.properties, file.properties)
    return Message(
        kind,
        sender,
        recipient,
        app,
        endpoint,
        future_id,
        file.id,
        location.folder_id,
        file.size,
        file.created_time,
        file.sha256,
        properties,
        inlined,
    )
