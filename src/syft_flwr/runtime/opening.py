"""Open runtimes from the environment, and share them within the process: the composition root."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import random
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from syft_flwr.clock import SystemClock
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.errors import ConfigurationError, RecordingError, SyftFlwrError
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.recording.tap import GatewayTap
from syft_flwr.feed.streams import Streams
from syft_flwr.ports import StateStore
from syft_flwr.runtime.runtime import DriveRuntime
from syft_flwr.settings import (
    EMAIL_VARIABLE,
    RECORD_VARIABLE,
    Endpoint,
    Settings,
    load_email,
    load_endpoint,
    load_settings,
    record_directory,
    state_root,
)
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.holders import Holder, is_alive
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore

_log = logging.getLogger(__name__)

_Key = tuple[str, str, Path]

_lock = threading.Lock()
_open: dict[_Key, tuple[DriveRuntime, int]] = {}


def open_runtime(email: str | None, settings: Mapping[str, Any]) -> DriveRuntime:
    """Open the runtime of an account or share the open one; see :meth:`DriveRuntime.open`."""
    address = _address(email)
    endpoint = load_endpoint()
    directory = state_directory(state_root(), address, endpoint.url)
    key = (address.lower(), endpoint.url, directory)
    with _lock:
        if not _open:
            atexit.register(_close_all)
        runtime, users = _open.get(key, (None, 0))
        if runtime is None:
            runtime = _open_shared(address, endpoint, directory, settings, key)
        else:
            _share(runtime, settings)
        _open[key] = (runtime, users + 1)
    if not users:
        _record(runtime)
    return runtime


def _share(runtime: DriveRuntime, wanted: Mapping[str, Any]) -> None:
    """Let a further user share an open runtime, and tell what that one has to do without."""
    given = {name: value for name, value in wanted.items() if value is not None}
    asked = load_settings(**given)
    if "poll_interval" in given:
        runtime.shorten_interval(asked.poll_interval)
    ignored = [
        name
        for name in given
        if name not in ("poll_interval", "max_poll_interval")
        and getattr(asked, name) != getattr(runtime.settings, name)
    ]
    if ignored:
        _log.warning("%s is open already, with other settings of %s: they stay", runtime.email, ", ".join(ignored))


def release(key: _Key) -> bool:
    """Give up one use of a runtime; return whether it was the last."""
    with _lock:
        runtime, users = _open[key]
        if users > 1:
            _open[key] = (runtime, users - 1)
            return False
        del _open[key]
        return True


def readable_address(email: str) -> str:
    """Return an address as a part of a file name; two addresses may look alike in it."""
    return re.sub(r"[^a-z0-9@._+-]", "_", email.lower())[:64]


def state_directory(root: Path, email: str, url: str) -> Path:
    """Return an account's state directory: readable, and distinct for every account and Drive."""
    readable = readable_address(email)
    digest = hashlib.sha256(f"{email.lower()}\n{url}".encode()).hexdigest()[:12]
    return root / f"{readable}-{digest}"


def _record(runtime: DriveRuntime) -> None:
    """Record the feed if the environment says so, one file for each account and process."""
    try:
        if (directory := record_directory()) is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            runtime.record_to(directory / f"{readable_address(runtime.email)}-{os.getpid()}.jsonl", bodies=True)
    except (OSError, SyftFlwrError) as error:
        runtime.close()
        raise RecordingError(f"can't record the feed as {RECORD_VARIABLE} asks: {error}") from error


def open_observer(email: str | None, settings: Mapping[str, Any]) -> DriveRuntime:
    """Open a runtime that only looks on; see :meth:`DriveRuntime.observe`."""
    address = _address(email)
    endpoint = load_endpoint()
    directory = state_directory(state_root(), address, endpoint.url)
    with ExitStack() as stack:
        store = MemoryStore()
        stack.callback(store.close)
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="syft-flwr-"))
        parts = _Parts(store, MemoryStore(), Path(temporary), holder="observer", is_alive=lambda _: True)
        runtime = _assemble(address, endpoint, parts, settings, stack, observes=True)
    try:
        if directory.exists():
            with closing(DiskStore(directory / "ledger")) as known:
                runtime.begin_with(_ledger(known, parts, load_settings(**settings)).snapshot())
    except BaseException:
        runtime.close()
        raise
    return runtime


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where a runtime keeps its state, and as whom."""

    ledger: StateStore
    folders: StateStore
    directory: Path
    holder: str
    is_alive: Callable[[str], bool]


def _address(email: str | None) -> str:
    address = load_email(email)
    if address is None:
        raise ConfigurationError(f"no account: pass its address, or set {EMAIL_VARIABLE}")
    return address


def _open_shared(
    address: str, endpoint: Endpoint, directory: Path, overrides: Mapping[str, Any], key: _Key
) -> DriveRuntime:
    with ExitStack() as stack:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = Holder(directory / "holders")
        stack.callback(holder.close)
        store = DiskStore(directory / "ledger")
        stack.callback(store.close)
        folder_store = DiskStore(directory / "folders")
        stack.callback(folder_store.close)
        parts = _Parts(store, folder_store, directory, holder.id, partial(is_alive, directory / "holders"))
        return _assemble(address, endpoint, parts, overrides, stack, release=partial(release, key))


def _assemble(
    address: str,
    endpoint: Endpoint,
    parts: _Parts,
    overrides: Mapping[str, Any],
    stack: ExitStack,
    *,
    observes: bool = False,
    release: Callable[[], bool] = lambda: True,
) -> DriveRuntime:
    """Put a runtime together; ``stack`` is emptied into it."""
    from syft_flwr.drive.auth import load_credentials
    from syft_flwr.drive.gateway import HttpDriveGateway

    settings = load_settings(**overrides)
    credentials = load_credentials(endpoint, address)
    clock = SystemClock()
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    gateway = HttpDriveGateway(endpoint, credentials, settings=settings, clock=clock, rng=rng)
    stack.callback(gateway.close)
    tap = GatewayTap(gateway)
    pool = ThreadPoolExecutor(settings.max_connections, thread_name_prefix=f"syft-transfer-{address}")
    stack.callback(pool.shutdown, wait=True, cancel_futures=True)
    ids = IdPool(tap)
    folders = FolderIndex(tap, parts.folders, address)
    exchange = Exchange(
        me=address,
        settings=settings,
        clock=clock,
        gateway=tap,
        ledger=_ledger(parts.ledger, parts, settings),
        bodies=BodyFiles(parts.directory / "bodies"),
        folders=folders,
        inboxes=InboxMaker(tap, folders, parts.folders, address, reserve=ids.take),
        ids=ids,
        streams=Streams(),
        pool=pool,
        observes=observes,
    )
    return DriveRuntime(
        exchange,
        url=endpoint.url,
        meter=gateway.meter,
        tap=tap,
        rng=rng,
        release=release,
        on_close=stack.pop_all().close,
    )


def _ledger(store: StateStore, parts: _Parts, settings: Settings) -> Ledger:
    return Ledger(
        store,
        SystemClock(),
        holder=parts.holder,
        is_alive=parts.is_alive,
        max_processed=settings.max_processed_requests,
    )


def _close_all() -> None:
    """Close what is still open when the interpreter ends."""
    for runtime, users in list(_open.values()):
        for _ in range(users):
            runtime.close()
