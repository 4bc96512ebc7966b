"""What the Flower side needs of the message transport; ``P2PFileRpc`` and ``P2PFileEvents`` provide it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, Protocol

from syft_flwr.models import Message
from syft_flwr.ports import Clock

ENDPOINT = "messages"

PRESENCE_ENDPOINT = "presence"
"""Where a data owner says that it is there, while its app works."""

DISPOSABLE = "disposable"
"""Of a data owner: its answers to requests that are thrown away together are so, too."""


OBJECTS = "objects"
"""Of a data owner: it fetches array records that several messages have in common."""


PRESENCE = "presence"
"""Of a data owner: it is there all the time, and answers when it is asked."""


def wire_app_name(app_name: str) -> str:
    """Return an app's name on the wire, as existing participants write it."""
    return f"flwr/{app_name}"


class Disposable(Protocol):
    """What is thrown away together; see :class:`syft_flwr.exchange.objects.Disposable`."""

    def publish(self, name: str, content: Path, readers: Collection[str]) -> str: ...

    def reused(self, size: int) -> None: ...

    def withdraw(self, file_id: str) -> None: ...

    def dispose(self) -> None: ...


class Rpc(Protocol):
    """Sends requests and brings replies, whose senders it has checked. Thread-safe."""

    @property
    def clock(self) -> Clock:
        """What all that waits for messages measures time with."""

    def send(
        self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False, *, disposable: str = ""
    ) -> str: ...

    def get_response(self, future_id: str) -> bytes | None: ...

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        """Wait until any of the futures has a reply, at most ``timeout`` seconds; return those that have one."""

    def delete_future(self, future_id: str) -> None: ...

    def disposable(self, name: str) -> Disposable:
        """Return what is thrown away together under a name."""


class Events(Protocol):
    """Receives requests."""

    def on_request(
        self,
        endpoint: str,
        handler: Callable[[bytes, Message], bytes | str | None],
        *,
        with_message: Literal[True],
    ) -> None: ...

    def disposable(self, name: str) -> Disposable:
        """Return what is thrown away together under a name."""

    def fetch(self, file_id: str, target: Path, *, size: int, sha256: str) -> None:
        """Download what a peer has published; see :meth:`syft_flwr.runtime.DriveRuntime.fetch`."""

    def kept(self, size: int) -> None:
        """Note that something a peer has published, of so many bytes, was here already."""

    def run_forever(self) -> None: ...

    def drain(self, timeout: float | None = None) -> bool:
        """Answer all that waits, and return; tell whether all is done."""

    def stop(self) -> None: ...
