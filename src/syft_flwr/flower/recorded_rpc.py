"""A recording in the place of an aggregator's transport: messages get the replies of the recorded ones like them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from syft_flwr.clock import SystemClock
from syft_flwr.errors import DriveError, FlowerError
from syft_flwr.flower._compat import SYSTEM_MESSAGE, Message, ProtoMessage, ProtoMetadata
from syft_flwr.flower.codec import Stamp, decode_head, round_of
from syft_flwr.flower.node import node_id
from syft_flwr.recording.reader import Recording
from syft_flwr.replay.recorded_drive import recorded_uploads

REQUEST, RESPONSE = ".request", ".response"


class RecordedRpc:
    """A transport of an aggregator whose messages get the replies of the recorded ones like them. Thread-safe.

    Two messages are alike if they go to the same data owner, are of the same type and of the same round, and so often.

    Attributes:
        heads: By future ID, the recorded messages without their arrays, and their stamps.
        bodies: The recorded messages.
        recipients: To whom each went.
        owners: Everybody to whom anything went.
        objects: By SHA-256, the array records that lie in files of their own, now and then.
        sent: By the recorded message's future ID, what is sent now in its place.
        unknown: What has no recorded message like it, in words.
    """

    def __init__(self, recording: Recording, directory: Path) -> None:
        self.clock = SystemClock()
        self._directory = directory
        self._lock = threading.Lock()
        self.heads: dict[str, tuple[Message, Stamp]] = {}
        self.bodies: dict[str, bytes] = {}
        self.recipients: dict[str, str] = {}
        self.sent: dict[str, bytes] = {}
        self.unknown: list[str] = []
        self.objects: dict[str, Path] = {}
        self._replies = dict(_replies(recording))
        self._like: defaultdict[tuple[int, str, str], deque[str]] = defaultdict(deque)
        participants = {owner for file in recording.files() for owner in file.owners if owner}
        emails = {node_id(email): email for email in participants}
        for upload in recorded_uploads(recording):
            if upload.name.endswith(REQUEST):
                self._take(upload.name.removesuffix(REQUEST), upload.body, emails)
            elif not upload.name.endswith(RESPONSE):
                self._keep(upload.body)
        self.owners = set(self.recipients.values())

    def send(
        self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False, *, disposable: str = ""
    ) -> str:
        """Take a message; return the future ID of the recorded one like it.

        Raises:
            DriveError: There is none, or it had no reply.
        """
        del app_name, endpoint, encrypt, disposable
        message, _ = decode_head(body)
        with self._lock:
            like = self._like[_kind(message)]
            if not like:
                of_round = f" of round {number}" if (number := round_of(message)) else ""
                self.unknown.append(f"{message.metadata.message_type}{of_round} to {to_email}")
                raise DriveError("nothing like it was sent when the run was recorded")
            future_id = like.popleft()
            self.sent[future_id] = body
        if future_id not in self._replies and not self.is_of_the_system(future_id):
            raise DriveError("it had no reply when the run was recorded")
        return future_id

    def get_response(self, future_id: str) -> bytes | None:
        """Return the recorded reply, as if it answered what was sent now."""
        message, _ = decode_head(self.sent[future_id])
        patch = ProtoMetadata(reply_to_message_id=message.metadata.message_id, created_at=time.time())
        return self._replies[future_id] + bytes(ProtoMessage(metadata=patch).SerializeToString())

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        del timeout
        return {future_id for future_id in future_ids if future_id in self._replies}

    def delete_future(self, future_id: str) -> None: ...

    def disposable(self, name: str) -> RecordedRpc:
        del name
        return self

    def publish(self, name: str, content: Path, readers: Collection[str]) -> str:
        del readers
        self._keep(content.read_bytes())
        return f"replayed-{name}"

    def reused(self, size: int) -> None: ...

    def withdraw(self, file_id: str) -> None: ...

    def dispose(self) -> None: ...

    def is_of_the_system(self, future_id: str) -> bool:
        """Tell whether a recorded message was this package's own: who is there, and that the run is over."""
        return self.heads[future_id][0].metadata.message_type == SYSTEM_MESSAGE

    def _take(self, future_id: str, body: bytes, emails: Mapping[int, str]) -> None:
        try:
            message, stamp = decode_head(body)
        except FlowerError:  # "are you there?"
            return
        node = message.metadata.dst_node_id
        self.heads[future_id], self.bodies[future_id] = (message, stamp), body
        self.recipients[future_id] = emails.get(node, str(node))
        self._like[_kind(message)].append(future_id)

    def _keep(self, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        path = self.objects[digest] = self._directory / digest
        path.write_bytes(content)


def _kind(message: Message) -> tuple[int, str, str]:
    return message.metadata.dst_node_id, message.metadata.message_type, round_of(message)


def _replies(recording: Recording) -> Iterator[tuple[str, bytes]]:
    """Yield future ID and body of each response that was downloaded."""
    names = {file.id: file.name for file in recording.files()}
    for entry in recording.entries:
        name = names.get(entry.value, "") if entry.kind == "download" else ""
        if name.endswith(RESPONSE) and entry.raw["sha256"] is not None:
            with recording.open_body(entry.raw["sha256"]) as body:
                yield name.removesuffix(RESPONSE), body.read()
