"""Those who look on while an account's processes work, for tests: on threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from accounts import DO, PATIENCE, wait_until
from syft_flwr.cli.record import AccountRecording
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.onlooker import Onlooker
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, state_root
from syft_flwr.state.events import Happened


def directory(email: str = DO) -> Path:
    return state_directory(state_root(), email, load_endpoint().url)


class Looking:
    """An onlooker of the account DO; a context manager that begins once it looks."""

    def __init__(self, **options: Any) -> None:
        self.events: list[Happened] = []
        self.past: list[Happened] = []
        self.sources: list[int] = []
        self.gaps: list[int] = []
        self._ended = threading.Event()
        self.onlooker = Onlooker(
            directory(),
            open_feed=lambda: DriveRuntime.observe(DO, poll_interval=0.05),
            on_event=self.events.append,
            on_source=self.sources.append,
            on_gap=self.gaps.append,
            on_past=self.past.append,
            **options,
        )
        self._thread = threading.Thread(target=lambda: self.onlooker.run(self._ended), name="onlooker")

    def whats(self) -> list[str]:
        return [event.what for event in self.events if event.what not in {"polled", "swept"}]

    def futures(self, what: str) -> list[str]:
        return [event.fields["future_id"] for event in self.events if event.what == what]

    def wait_for(self, what: str, futures: Collection[str]) -> None:
        """Wait until this has happened to these."""
        wait_until(lambda: set(self.futures(what)).issuperset(futures))

    def __enter__(self) -> Self:
        self.onlooker.begin()
        self._thread.start()
        wait_until(lambda: self.sources)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Recording:
    """``syft-flwr record``; a context manager that begins once the recording has begun."""

    def __init__(self, path: Path, email: str = DO, **options: Any) -> None:
        given = {"bodies": True, "redact": False, "until": None, **options}
        self.recording = AccountRecording(email, path, 0.05, **given)
        self._thread = threading.Thread(target=self._run, name="recording")
        self.errors: list[Exception] = []

    def _run(self) -> None:
        try:
            self.recording.run(None)
        except Exception as error:
            self.errors.append(error)

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def wait_for(self, names: Collection[str]) -> None:
        """Wait until uploads of these names are recorded."""
        wait_until(lambda: self.recording._log._uploaded.issuperset(names))

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.recording._onlooker._sources is not None)
        return self

    def __exit__(self, *_: object) -> None:
        self.recording._ended.set()
        self.join()
        self.recording.end()
        assert self.errors == []
