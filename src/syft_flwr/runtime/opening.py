"""Open runtimes from the environment, and share them within the process: the composition root."""

from __future__ import annotations

import atexit
import hashlib
import random
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from syft_flwr.clock import SystemClock
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.errors import ConfigurationError
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.recording.tap import GatewayTap
from syft_flwr.feed.streams import Streams
from syft_flwr.runtime.runtime import DriveRuntime
from syft_flwr.settings import EMAIL_VARIABLE, Endpoint, load_email, load_endpoint, load_settings, state_root
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.holders import Holder, is_alive
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.store import DiskStore

_Key = tuple[str, str, Path]

_lock = threading.Lock()
_open: dict[_Key, tuple[DriveRuntime, int]] = {}


def open_runtime(email: str | None, settings: Mapping[str, Any]) -> DriveRuntime:
    """Open the runtime of an account or share the open one; see :meth:`DriveRuntime.open`."""
    address = load_email(email)
    if address is None:
        raise ConfigurationError(f"no account: pass its address, or set {EMAIL_VARIABLE}")
    endpoint = load_endpoint()
    directory = state_directory(state_root(), address, endpoint.url)
    key = (address.lower(), endpoint.url, directory)
    with _lock:
        if not _open:
            atexit.register(_close_all)
        runtime, users = _open.get(key, (None, 0))
        if runtime is None:
            runtime = _assemble(address, endpoint, directory, settings, key)
        elif (interval := settings.get("poll_interval")) is not None:
            runtime.shorten_interval(load_settings(poll_interval=interval).poll_interval)
        _open[key] = (runtime, users + 1)
        return runtime


def release(key: _Key) -> bool:
    """Give up one use of a runtime; return whether it was the last."""
    with _lock:
        runtime, users = _open[key]
        if users > 1:
            _open[key] = (runtime, users - 1)
            return False
        del _open[key]
        return True


def state_directory(root: Path, email: str, url: str) -> Path:
    """Return an account's state directory: readable, and distinct for every account and Drive."""
    readable = re.sub(r"[^a-z0-9@._+-]", "_", email.lower())[:64]
    digest = hashlib.sha256(f"{email.lower()}\n{url}".encode()).hexdigest()[:12]
    return root / f"{readable}-{digest}"


def _assemble(
    address: str, endpoint: Endpoint, directory: Path, overrides: Mapping[str, Any], key: _Key
) -> DriveRuntime:
    from syft_flwr.drive.auth import load_credentials
    from syft_flwr.drive.gateway import HttpDriveGateway

    settings = load_settings(**overrides)
    credentials = load_credentials(endpoint, address)
    clock = SystemClock()
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    with ExitStack() as stack:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = Holder(directory / "holders")
        stack.callback(holder.close)
        store = DiskStore(directory / "ledger")
        stack.callback(store.close)
        folder_store = DiskStore(directory / "folders")
        stack.callback(folder_store.close)
        gateway = HttpDriveGateway(endpoint, credentials, settings=settings, clock=clock, rng=rng)
        stack.callback(gateway.close)
        tap = GatewayTap(gateway)
        pool = ThreadPoolExecutor(settings.max_connections, thread_name_prefix=f"syft-transfer-{address}")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ids = IdPool(tap)
        folders = FolderIndex(tap, folder_store, address)
        exchange = Exchange(
            me=address,
            settings=settings,
            clock=clock,
            gateway=tap,
            ledger=Ledger(
                store,
                clock,
                holder=holder.id,
                is_alive=partial(is_alive, directory / "holders"),
                max_processed=settings.max_processed_requests,
            ),
            bodies=BodyFiles(directory / "bodies"),
            folders=folders,
            inboxes=InboxMaker(tap, folders, folder_store, address, reserve=ids.take),
            ids=ids,
            streams=Streams(),
            pool=pool,
        )
        return DriveRuntime(
            exchange,
            url=endpoint.url,
            meter=gateway.meter,
            tap=tap,
            rng=rng,
            release=partial(release, key),
            on_close=stack.pop_all().close,
        )


def _close_all() -> None:
    """Close what is still open when the interpreter ends."""
    for runtime, users in list(_open.values()):
        for _ in range(users):
            runtime.close()
