"""Open engines from the environment, and share them within the process."""

from __future__ import annotations

import atexit
import hashlib
import os
import random
import re
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from syft_flwr.addresses import fold_address
from syft_flwr.clock import SystemClock
from syft_flwr.drive.habits import Habits
from syft_flwr.errors import ConfigurationError, RecordingError, StateError, SyftFlwrError
from syft_flwr.private import make_private_directory
from syft_flwr.recording import GatewayTap
from syft_flwr.runtime.assembly import Stores, assemble
from syft_flwr.runtime.engine import Engine, begin_anew_after_fork
from syft_flwr.runtime.recorders import start_recording
from syft_flwr.runtime.taps import SharedTap
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
from syft_flwr.state.holders import Holder, is_alive
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore

if TYPE_CHECKING:  # what only live engines need
    from syft_flwr.drive.budget import AccountBudget

_Key = tuple[str, str, Path]

_PATIENCE = 3.0
"""Seconds that the pauses within one call may take on the threads of an engine, which come back to it later anyway."""

_lock = threading.Lock()
_open: dict[_Key, Engine] = {}


def _begin_anew_after_fork() -> None:
    """Let a forked child open engines of its own; those of the parent have no threads here."""
    global _lock  # noqa: PLW0603 - the parent may have held it
    _lock = threading.Lock()
    _open.clear()
    begin_anew_after_fork()


os.register_at_fork(after_in_child=_begin_anew_after_fork)


def shared_engine(email: str | None, settings: Mapping[str, Any], handle: object) -> Engine:
    """Open an account's engine, or share the open one, on behalf of a handle; see :meth:`DriveRuntime.open`."""
    address = _address(email)
    endpoint = load_endpoint()
    directory = state_directory(state_root(), address, endpoint.url)
    wanted = load_settings(**settings)
    key = (fold_address(address), endpoint.url, directory)
    with _lock:
        if not _open:
            atexit.register(_close_all)
        engine = _open.get(key)
        is_new = engine is None
        if engine is None:
            engine = _open[key] = _open_on_disk(address, endpoint, directory, wanted)
        engine.join(handle, wanted.poll_interval, wanted.max_poll_interval)
    if not is_new:
        engine.warn_of_other_settings(wanted, [name for name, value in settings.items() if value is not None])
        return engine
    try:
        _record(engine)
    except BaseException:
        release(engine, handle)
        raise
    return engine


def release(engine: Engine, handle: object) -> None:
    """Give up a handle's use of an engine; the last one closes it."""
    with _lock:
        is_last = engine.leave(handle)
        if is_last:
            for key in [key for key, each in _open.items() if each is engine]:
                del _open[key]
    if is_last:
        engine.close()


def observing_engine(email: str | None, settings: Mapping[str, Any], handle: object) -> Engine:
    """Open an engine that only looks on; see :meth:`DriveRuntime.observe`."""
    address = _address(email)
    endpoint = load_endpoint()
    directory = state_directory(state_root(), address, endpoint.url)
    wanted = load_settings(**settings)
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="syft-flwr-"))
        stores = Stores(
            MemoryStore(),
            MemoryStore(),
            Path(temporary) / "bodies",
            holder="observer",
            is_alive=lambda _: True,
            keep_events=0,
        )
        engine = _assemble(address, endpoint, directory, stores, wanted, stack=stack, observes=True)
    engine.join(handle, wanted.poll_interval, wanted.max_poll_interval)
    try:
        if (directory / "ledger").is_dir():
            with closing(DiskStore(directory / "ledger")) as known:
                theirs = Ledger(
                    known,
                    SystemClock(),
                    holder="observer",
                    is_alive=lambda _: True,
                    max_processed=wanted.max_processed_requests,
                )
                engine.parts.ledger.restore(theirs.snapshot())  # the first poll passes it on
    except BaseException:
        engine.close()
        raise
    return engine


def readable_address(email: str) -> str:
    """Return an address as a part of a file name; two addresses may look alike in it."""
    return re.sub(r"[^a-z0-9@._+-]", "_", email.lower())[:64]


def state_directory(root: Path, email: str, url: str) -> Path:
    """Return an account's state directory: readable, and distinct for every account and Drive."""
    readable = readable_address(email)
    digest = hashlib.sha256(f"{fold_address(email)}\n{url}".encode()).hexdigest()[:12]
    return emulator_root(root, url) / f"{readable}-{digest}"


def emulator_root(root: Path, url: str) -> Path:
    """Return where the accounts on a Drive have their state: those on an emulator apart, since it comes and goes."""
    parts = urlsplit(url)
    return root / "emulators" / quote(parts.netloc) if parts.scheme == "http" else root


def _record(engine: Engine) -> None:
    """Record the feed if the environment says so, one file for each account and process."""
    try:
        if (directory := record_directory()) is not None:
            make_private_directory(directory)
            path = directory / f"{readable_address(engine.parts.me)}-{os.getpid()}.jsonl"
            start_recording(engine, path, bodies=True, redact=False)
    except (OSError, SyftFlwrError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        raise RecordingError(f"can't record the feed as {RECORD_VARIABLE} asks: {why}") from error


def _address(email: str | None) -> str:
    address = load_email(email)
    if address is None:
        raise ConfigurationError(f"no account: pass its address, or set {EMAIL_VARIABLE}")
    return address


def _open_on_disk(address: str, endpoint: Endpoint, directory: Path, settings: Settings) -> Engine:
    with ExitStack() as stack:
        _make(directory)
        holder = Holder(directory / "holders")
        stack.callback(holder.close)
        ledger = DiskStore(directory / "ledger")
        stack.callback(ledger.close)
        folders = DiskStore(directory / "folders")
        stack.callback(folders.close)
        alive = partial(is_alive, directory / "holders")
        habits = Habits.read(directory)
        stores = Stores(ledger, folders, directory / "bodies", holder.id, alive, habits=habits)
        return _assemble(address, endpoint, directory, stores, settings, stack=stack, transfers=SharedTap(directory))


def _make(directory: Path) -> None:
    try:
        make_private_directory(directory)
    except OSError as error:
        raise StateError(f"can't use the state directory {directory}: {error}") from error


def _assemble(
    address: str,
    endpoint: Endpoint,
    directory: Path,
    stores: Stores,
    settings: Settings,
    *,
    stack: ExitStack,
    transfers: SharedTap | None = None,
    observes: bool = False,
) -> Engine:
    """Put an engine on Drive together; ``stack`` is emptied into it."""
    from syft_flwr.drive.auth import load_credentials
    from syft_flwr.drive.gateway import HttpDriveGateway

    clock = SystemClock()
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    credentials = load_credentials(endpoint, address)
    budget = account_budget(directory, settings)
    stack.callback(budget.close)
    gateway = HttpDriveGateway(endpoint, credentials, clock=clock, rng=rng, patience=_PATIENCE, budget=budget)
    stack.callback(gateway.close)
    return assemble(
        address,
        GatewayTap(gateway, transfers),
        stores,
        settings=settings,
        clock=clock,
        rng=rng,
        url=endpoint.url,
        meter=gateway.meter,
        observes=observes,
        on_close=stack.pop_all().close,
    )


def account_budget(directory: Path, settings: Settings) -> AccountBudget:
    """Return what an account may spend, in its state directory unless there is none; to be closed.

    Raises:
        ConfigurationError: The account's other processes keep to other limits.
        StateError: The budget can't be read or written.
    """
    from syft_flwr.drive.budget import AccountBudget

    has_state = any((directory / name).exists() for name in ("ledger", "budget"))  # who looks on leaves nothing behind
    return AccountBudget(
        per_minute=settings.quota_units_per_minute,
        per_day=settings.quota_units_per_day,
        path=directory / "budget" if has_state else None,
        who=_name_of_process(),
    )


def _name_of_process() -> str:
    """Return a name for the bill; arguments are left out, since they may be secrets."""
    program, *arguments = sys.argv or ["python"]
    command = arguments[:1] if Path(program).name == "syft-flwr" else []
    return " ".join([Path(program).name or "python", *command, f"({os.getpid()})"])


def _close_all() -> None:
    """Close what is still open when the interpreter ends."""
    with _lock:
        engines = list(_open.values())
        _open.clear()
    for engine in engines:
        engine.close()
