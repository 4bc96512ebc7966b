"""Opens the transport of one account, and closes it with the bill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from syft_flwr.errors import DriveUnavailableError, SyftFlwrError
from syft_flwr.events import P2PFileEvents
from syft_flwr.flower.outage import Outages
from syft_flwr.flower.progress import Progress
from syft_flwr.flower.transport import Events, Rpc, wire_app_name
from syft_flwr.models import FeedError
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import SettingsDict, load_settings

_LONGEST_PAUSE = 15.0
_LARGEST_MODEL = 2 * 1024**3
"""Bytes of a message: what one protobuf can hold. The participants of a run are known."""
_JOIN = 10.0


@dataclass(frozen=True, slots=True)
class Polling:
    """Seconds between polls while messages flow, and when all is quiet; ``None`` for the environment's or default."""

    interval: float | None = None
    longest: float | None = None


class DriveConnection:
    """One account's connection to Drive, for as long as a run lasts. A context manager."""

    def __init__(self, email: str, polling: Polling | None = None) -> None:
        """Connect an account; no call to Drive is made yet.

        Raises:
            ConfigurationError: The address, the credentials or a setting are wrong.
        """
        polling = polling or Polling()
        self.email = email
        interval = load_settings(poll_interval=polling.interval).poll_interval
        self._longest = polling.longest or max(_LONGEST_PAUSE, interval)
        self._polling: SettingsDict = {"poll_interval": interval, "max_poll_interval": self._longest}
        settings: SettingsDict = {**self._polling, "max_message_size": _LARGEST_MODEL}
        self._runtime = DriveRuntime.open(email, **settings)
        self.clock = engine_of(self._runtime).parts.clock
        """The engine's; its time of day is Drive's."""
        self._rpc: P2PFileRpc | None = None
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def rpc(self, app_name: str) -> Rpc:
        """Return the requesting side; closed with the connection."""
        self._rpc = _DriveRpc(self._runtime, wire_app_name(app_name), self.email, **self._polling)
        return self._rpc

    def events(self, app_name: str, aggregator: str) -> Events:
        """Return the answering side, for requests of the aggregator only."""
        app = wire_app_name(app_name)
        return DriveEvents(self._runtime, app, self.email, **self._polling, allowed_senders=[aggregator])

    def connect(self, progress: Progress) -> None:
        """Wait until Drive answers, and tell of outages from now on.

        Raises:
            DriveError: It refuses, and no retry will help.
        """
        outages = Outages(progress, self.clock)
        self._wait_for_drive(outages, engine_of(self._runtime).follower.identify)
        self._runtime.errors.subscribe(lambda failure: self._note(failure, outages))

    def _note(self, failure: FeedError, outages: Outages) -> None:
        if isinstance(failure.error, DriveUnavailableError) and outages.began(failure.error):
            self._watcher = threading.Thread(target=self._watch, args=(outages,), name="flower-outage", daemon=True)
            self._watcher.start()

    def _watch(self, outages: Outages) -> None:
        with suppress(SyftFlwrError):  # closed, or refused: the poll loop ends with that, too
            self._wait_for_drive(outages, self._runtime.poll_once)

    def _wait_for_drive(self, outages: Outages, ask: Callable[[], object]) -> None:
        while not outages.attempt(lambda: bool(ask() or True), False):
            if self.clock.wait(self._closing, self._longest):
                return

    def bill(self) -> dict[str, Any]:
        """Return calls and quota units so far, by method; also after the connection was closed."""
        return self._runtime.meter.snapshot().to_json()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection; what is unfinished stays for the next one. Idempotent."""
        self._closing.set()
        if self._rpc is not None:
            self._rpc.close()
        self._runtime.close()
        if self._watcher is not None:
            self._watcher.join(_JOIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class DriveEvents(P2PFileEvents):
    """``P2PFileEvents`` with what the aggregator publishes for all owners."""

    def __init__(self, runtime: DriveRuntime, app: str, email: str, **options: Any) -> None:
        super().__init__(app, email, **options)
        self.fetch = runtime.fetch
        self.kept = engine_of(runtime).objects.kept
        self.disposable = runtime.disposable


class _DriveRpc(P2PFileRpc):
    """``P2PFileRpc`` with a way to learn of replies without loading them: models are large.

    While Drive can't be reached, looking for replies raises that, where the runtime would wait and say nothing.
    """

    def __init__(self, runtime: DriveRuntime, app: str, email: str, **options: Any) -> None:
        super().__init__(email, app, **options)
        self.clock = engine_of(runtime).parts.clock
        self.disposable = runtime.disposable
        self._is_down = threading.Event()
        self.runtime.errors.subscribe(self._note)

    def get_response(self, future_id: str) -> bytes | None:
        self._reach()
        return super().get_response(future_id)

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        self._reach()
        answered = self.runtime.answered(future_ids, timeout, enough=1)
        if not answered:
            self._reach()
        return answered

    def _note(self, failure: FeedError) -> None:
        if isinstance(failure.error, DriveUnavailableError):
            self._is_down.set()

    def _reach(self) -> None:
        """Raise DriveUnavailableError if there is an outage that goes on."""
        if self._is_down.is_set():
            self.runtime.poll_once()
            self._is_down.clear()
