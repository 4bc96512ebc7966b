"""How a recorder in another process gets what an account's processes download and upload.

It makes ``taps/{holder}`` in the state directory, and each process puts there what it transfers before it goes on:
``{time}.json`` says what it was, ``{time}.body`` beside it is the content, if that is wanted. Where no recorder is,
that costs a look at a directory that is not there.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syft_flwr.private import make_private_directory
from syft_flwr.state.holders import Holder, is_alive

_BODIES = "bodies"
"""File in a recorder's directory by which it wants contents."""

_log = logging.getLogger(__name__)


class SharedTap:
    """Hands on what a process transfers; a :class:`~syft_flwr.recording.tap.Transfers`. Never raises.

    Args:
        directory: The account's state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._taps = directory / "taps"

    def downloaded(self, file_id: str, body: bytes | Path | None) -> None:
        for tap in self._open():
            self._put(tap, {"download": file_id}, body)

    def uploading(
        self, file_id: str, name: str, parent: str, body: bytes | Path, properties: Mapping[str, str] | None
    ) -> None:
        upload = {"id": file_id, "name": name, "parent": parent, "properties": dict(properties or {})}
        for tap in self._open():
            self._put(tap, {"upload": upload}, body)

    def _open(self) -> list[Path]:
        """Return the directories of those who record; remove what the dead left."""
        try:
            found = [Path(entry) for entry in os.scandir(self._taps) if entry.is_dir()]
        except OSError:
            return []
        alive = [tap for tap in found if is_alive(self._taps, tap.name)]
        for tap in found:
            if tap not in alive:
                shutil.rmtree(tap, ignore_errors=True)
        return alive

    @staticmethod
    def _put(tap: Path, document: dict[str, Any], body: bytes | Path | None) -> None:
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        content, said = tap / f"{name}.body", tap / f".{name}"
        try:
            if body is not None:
                document["size"] = len(body) if isinstance(body, bytes) else body.stat().st_size
                if (tap / _BODIES).exists():
                    content.touch(mode=0o600)
                    if isinstance(body, bytes):
                        content.write_bytes(body)
                    else:
                        shutil.copyfile(body, content)
            said.touch(mode=0o600)
            said.write_text(json.dumps(document), encoding="utf-8")
            said.replace(tap / f"{name}.json")
        except OSError as error:  # a full disk, or a recorder that has gone; it will say what it lacks
            _log.warning("a recorder does not get what was transferred: %s", error)
            for path in (content, said):
                with suppress(OSError):
                    path.unlink()


@dataclass(frozen=True, slots=True)
class Transfer:
    """Something that was down- or uploaded, at a Unix time."""

    at: float
    document: dict[str, Any]
    _path: Path

    @property
    def body(self) -> Path | None:
        """Where the content lies, if there is one; gone after :meth:`drop`."""
        body = self._path.with_suffix(".body")
        return body if body.exists() else None

    def drop(self) -> None:
        """Remove it: it is recorded."""
        self._path.unlink()
        self._path.with_suffix(".body").unlink(missing_ok=True)


class Tap:
    """A recorder's directory; what comes into it is taken by :meth:`take`.

    Args:
        directory: The account's state directory; it is made if need be, and what is empty then goes with the tap.
        bodies: Whether contents are wanted.

    Raises:
        StateError: It can't be made.
        OSError: Likewise.
    """

    def __init__(self, directory: Path, *, bodies: bool) -> None:
        make_private_directory(directory)
        self._taps = directory / "taps"
        self._holder = Holder(self._taps)
        self._directory = self._taps / self._holder.id
        make_private_directory(self._directory)
        if bodies:
            (self._directory / _BODIES).touch(mode=0o600)

    def take(self) -> list[Transfer]:
        """Return what was transferred since the last time, oldest first."""
        return [
            Transfer(int(path.name.partition("-")[0]) / 1e9, json.loads(path.read_text(encoding="utf-8")), path)
            for path in sorted(self._directory.glob("*.json"))
        ]

    def close(self) -> None:
        """Let no more come; idempotent."""
        self._holder.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        (self._taps / f"{self._holder.id}.closed").unlink(missing_ok=True)
        for directory in (self._taps, self._taps.parent):
            with suppress(OSError):  # others use it
                directory.rmdir()
