"""Whether a file in an inbox counts as a message: a pure decision on what Drive attests."""

from __future__ import annotations

from dataclasses import dataclass, field

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.drive.folders import Location
from syft_flwr.drive.identities import Identities
from syft_flwr.errors import InvalidNameError
from syft_flwr.inline import split
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.resources import DriveFile
from syft_flwr.state.processed import AHEAD

_HIDDEN = "somebody whom Drive does not show"
_KEPT = 10_000
"""Folders of which is kept what was found, and users of each."""


@dataclass(slots=True)
class _Place:
    """What was found of an endpoint's folder, and for whom Drive has vouched there since."""

    location: Location
    version: int
    foreign: str | None
    """Why the inbox is not what its name says."""
    app: str = ""
    endpoint: str = ""
    bad_name: str | None = None
    attested: set[tuple[object, ...]] = field(default_factory=set)


class Admission:
    """Judges the files in the inboxes of one account by their metadata; bodies stay unread. Thread-safe.

    A folder's name proves nothing: only a file's owner, which Drive attests, tells who the sender is.

    Args:
        me: The account's address.
        identities: Tell whom Drive attests; a sender's is kept at first sight.
        max_size: Largest body to take, in bytes.
    """

    def __init__(self, me: str, identities: Identities, *, max_size: int) -> None:
        self._me = me
        self._identities = identities
        self._max_size = max_size
        self._places: dict[str, _Place] = {}

    def judge(self, file: DriveFile, location: Location, now: float | None) -> Message | Rejection | None:
        """Judge a file.

        Args:
            file: The candidate.
            location: Where it lies.
            now: Drive's time, Unix seconds; ``None`` if it is in doubt, and a time to come no reason to refuse.

        Returns:
            The message, why it is none, or ``None`` for a file in an inbox that is not addressed to this account.
        """
        place = self._place(location)
        if place is None:
            return None
        if place.foreign is not None:
            return _reject(RejectionReason.FOREIGN_FOLDER, place.foreign, file, location)
        users = (file.owners, file.owner_ids, file.last_modifying_user, file.editor_id, file.drive_id)
        if users not in place.attested:
            if (forged := self._forged(file, location)) is not None:
                return _reject(RejectionReason.FORGED_SENDER, forged, file, location)
            if len(place.attested) < _KEPT:
                place.attested.add(users)
        try:
            kind, future_id = wire.parse_message_name(file.name)
        except InvalidNameError as error:
            return _reject(RejectionReason.BAD_NAME, str(error), file, location)
        if (flaw := self._flaw(file, place, now)) is not None:
            return _reject(*flaw, file, location)
        assert file.size is not None  # noqa: S101 - that would be a flaw
        inlined, properties = split(file.properties) if file.properties else (file.properties, file.properties)
        return Message(
            kind,
            location.inbox.sender,
            location.inbox.recipient,
            place.app,
            place.endpoint,
            future_id,
            file.id,
            location.folder_id,
            file.size,
            file.created_time,
            file.sha256,
            properties,
            inlined,
        )

    def _flaw(self, file: DriveFile, place: _Place, now: float | None) -> tuple[RejectionReason, str] | None:
        """Tell what is wrong with the message of a genuine sender."""
        if place.bad_name is not None:
            return RejectionReason.BAD_NAME, place.bad_name
        # Of whole seconds, whose text is kept.
        if now is not None and file.created_time > wire.timestamp(int(now) + AHEAD):
            return RejectionReason.BAD_TIME, f"it claims to be made at {file.created_time}, which is yet to come"
        if file.size is None:
            return RejectionReason.BAD_NAME, "it has a message's name but no content of its own"
        if file.size > self._max_size:
            return RejectionReason.TOO_LARGE, f"it has {file.size} bytes; the limit is {self._max_size}"
        return None

    def _place(self, location: Location) -> _Place | None:
        """Return what is known of a folder, unless it is addressed to another account.

        What it depends on is the way to it and what is known of its users.
        """
        version, known = self._identities.version, self._places.get(location.folder_id)
        if known is not None and known.location is location and known.version == version:
            return known
        if not same_address(location.inbox.recipient, self._me):
            return None
        place = _Place(location, version, self._foreign(location))
        try:
            place.app, place.endpoint = wire.validate_app(location.app), wire.validate_endpoint(location.endpoint)
        except InvalidNameError as error:
            place.bad_name = str(error)
        if len(self._places) >= _KEPT:
            self._places = {}
        self._places[location.folder_id] = place
        return place

    def _foreign(self, location: Location) -> str | None:
        sender, root = location.inbox.sender, location.root
        if self._identities.vouch_for((sender, self._me), root):
            return None
        owner = ", ".join(owner or _HIDDEN for owner in root.owners) or "nobody"
        editor = root.last_modifying_user or _HIDDEN
        return f"its inbox belongs to {owner} and was last changed by {editor}, not by {sender} or {self._me} alone"

    def _forged(self, file: DriveFile, location: Location) -> str | None:
        """Return why a file is not its sender's; else keep who the sender is."""
        sender = location.inbox.sender
        if not self._identities.owns((sender,), file):
            return f"it lies in an inbox of {sender}, who does not own it"
        if not self._identities.changed_last((sender, self._me), file):
            return f"it was changed by {file.last_modifying_user or _HIDDEN}, who is not its sender {sender}"
        self._identities.pin(sender, (file.owner_ids or (None,))[0] if file.owners else file.editor_id)
        return None


def _reject(reason: RejectionReason, detail: str, file: DriveFile, location: Location) -> Rejection:
    owner, sender = ", ".join(file.owners) or file.last_modifying_user or "", location.inbox.sender
    return Rejection(reason, file.id, detail, file_name=file.name, claimed_sender=sender, owner=owner)
