"""What Flower needs of a transport, over listing: every message carries its model, and nothing is thrown away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from benchmarks.rivals.listing import ListingEvents, ListingRpc
from syft_flwr.clock import SystemClock
from syft_flwr.models import Message


class NothingToThrowAway:
    """Nothing is shared between messages, and messages stay."""

    def publish(self, name: str, content: Path, readers: Collection[str]) -> str:
        raise NotImplementedError("owners over listing announce that they fetch nothing")

    def withdraw(self, file_id: str) -> None:
        del file_id

    def dispose(self) -> None:
        pass


class FlowerListingRpc:
    """The aggregator's side. While it waits it looks for each outstanding reply once an interval."""

    def __init__(self, host: str, email: str, interval: float) -> None:
        self.clock = SystemClock()
        self._rpc = ListingRpc(host, email)
        self._interval = interval
        self._lock = threading.Lock()
        self._replies: dict[str, bytes] = {}

    def send(
        self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False, *, disposable: str = ""
    ) -> str:
        del disposable
        with self._lock:
            return self._rpc.send(to_email, app_name, endpoint, body, encrypt)

    def get_response(self, future_id: str) -> bytes | None:
        return self._replies.get(future_id)

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        end = time.monotonic() + timeout
        while True:
            with self._lock:
                for future_id in set(future_ids) - self._replies.keys():
                    if (body := self._rpc.get_response(future_id)) is not None:
                        self._replies[future_id] = body
            if found := set(future_ids) & self._replies.keys():
                return found
            left = end - time.monotonic()
            if left <= 0:
                return set()
            time.sleep(min(left, self._interval))

    def delete_future(self, future_id: str) -> None:
        self._replies.pop(future_id, None)
        self._rpc.delete_future(future_id)

    def disposable(self, name: str) -> NothingToThrowAway:
        del name
        return NothingToThrowAway()

    def close(self) -> None:
        self._rpc.close()


class FlowerListingEvents(ListingEvents):
    """An owner's side."""

    def on_request(self, endpoint: str, handler: Callable[..., Any], *_: object, **__: object) -> None:
        def with_message(body: bytes) -> bytes | str | None:
            message = Message(
                kind="request",
                sender=self.sender,
                recipient=self.client_email,
                app=self._app,
                endpoint=endpoint,
                future_id="",
                file_id="",
                folder_id="",
                size=len(body),
                created_time="",
            )
            answer: bytes | str | None = handler(body, message)
            return answer

        super().on_request(endpoint, with_message)

    def disposable(self, name: str) -> NothingToThrowAway:
        del name
        return NothingToThrowAway()

    def fetch(self, file_id: str, target: Path, *, size: int, sha256: str) -> None:
        raise NotImplementedError("messages over listing carry their arrays")

    def kept(self, size: int) -> None:
        raise NotImplementedError("messages over listing carry their arrays")

    def drain(self, timeout: float | None = None) -> bool:
        del timeout
        self.poll_once()
        return True

    def __init__(self, host: str, app: str, email: str, sender: str, poll_interval: float) -> None:
        super().__init__(host, app, email, poll_interval)
        self.sender = sender
