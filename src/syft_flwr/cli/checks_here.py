"""The doctor's steps that look at this machine: versions, state, credentials, what waits, quota."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from syft_flwr.cli.account import Account
from syft_flwr.cli.account_state import age, read_state
from syft_flwr.cli.findings import Finding, failed, ok, warning
from syft_flwr.cli.output import count, duration
from syft_flwr.drive.auth import DRIVE_SCOPE, find_source, load_credentials
from syft_flwr.drive.mapping import TransportErrors
from syft_flwr.drive.token_request import TokenRequest
from syft_flwr.drive.transport import Transport
from syft_flwr.settings import STATE_VARIABLE

_PACKAGES = ("syft-flwr-drive", "flwr", "google-api-python-client", "google-auth", "diskcache")
_LEAST_SPACE = 200 * 1024**2
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "lustre", "afs", "ceph", "glusterfs"})
_STUCK_AFTER = 3_600.0
_TIMEOUT = 60.0
_GOOGLES_MINUTE, _GOOGLES_DAY = 1_000_000, 400_000_000
"""Units that Google gives a project a minute, and a day before charges apply."""


def check_versions(_: Account) -> Finding:
    """Tell the versions of what matters."""
    found = [f"Python {python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return failed(f"{package} is not installed", "install again: pip install --force-reinstall syft-flwr-drive")
    return ok(", ".join(found))


def check_state_directory(account: Account) -> Finding:
    """See whether state can be kept: there is a place, it is ours, it can be written to, it has room."""
    place = next(each for each in (account.directory, *account.directory.parents) if each.exists())
    elsewhere = f"name another directory in {STATE_VARIABLE}"
    if not place.is_dir():
        return failed(f"{place} is a file, where a directory must be", f"remove it, or {elsewhere}")
    if place == account.directory and place.stat().st_uid != os.geteuid():
        return failed(f"{place} belongs to another user", f"run as that user, or {elsewhere}")
    if not os.access(place, os.W_OK | os.X_OK):
        return failed(f"{place} can't be written to", f"allow it: chmod u+wx {place}; or {elsewhere}")
    if (free := shutil.disk_usage(place).free) < _LEAST_SPACE:
        return failed(f"only {free // 1024**2} MB are left on the disk of {place}", f"make room, or {elsewhere}")
    if (kind := file_system_of(place)) in _NETWORK:
        return warning(f"{account.directory} is on a network file system ({kind}), whose locks may fail", elsewhere)
    return ok(f"{account.directory}, {free // 1024**3} GB free")


def file_system_of(path: Path) -> str:
    """Return the kind of the file system that a path lies on, or an empty text."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    holding = [fields for fields in mounts if path.resolve().is_relative_to(fields[1])]
    return max(holding, key=lambda fields: len(fields[1]))[2] if holding else ""


def check_credentials(account: Account) -> Finding:
    """Load the credentials that come first."""
    source = find_source(account.endpoint, account.email)
    account.credentials = load_credentials(account.endpoint, account.email)
    if not getattr(account.credentials, "_subject", ""):
        return ok(source.words)
    robot = getattr(account.credentials, "service_account_email", None)
    return ok(f"{source.words}; the service account {robot} acts for {account.email}")


def check_refresh(account: Account) -> Finding:
    """Ask for a new access token, as happens once an hour."""
    if getattr(account.credentials, "refresh_token", "") is None:
        return ok("not needed: the token does not expire")
    transport = Transport(threading.Event(), timeout=_TIMEOUT, is_local=account.endpoint.is_emulator)
    with TransportErrors("refresh"), closing(transport):
        account.credentials.refresh(TokenRequest(transport))
    return ok("Google gives a new access token")


def check_scopes(account: Account) -> Finding:
    """See whether the token is for the whole of Drive."""
    granted = getattr(account.credentials, "granted_scopes", None) or account.credentials.scopes
    if not granted:
        return ok("not told by the token; Drive's answers will show")
    scopes = granted.split() if isinstance(granted, str) else list(granted)
    if DRIVE_SCOPE in scopes:
        return ok(DRIVE_SCOPE)
    blind = "drive.file shows only files that this program made, so no message of others. " * any(
        scope.endswith("/drive.file") for scope in scopes
    )
    return failed(
        f"the token is for {', '.join(scopes)}, not for {DRIVE_SCOPE}",
        f"{blind}Log in again and tick the box for Drive: syft-flwr login CLIENT_FILE --email {account.email}",
    )


def check_messages(account: Account) -> Finding:
    """See whether messages wait that nobody takes, or requests that nobody answers."""
    state = read_state(account.directory)
    found = (
        f"{count(state.pending, 'request')} to handle, {count(state.spooled, 'answer')} to send, "
        f"{count(state.awaited, 'request')} without an answer, {count(state.answered, 'answer')} not taken"
    )
    if (waited := age(state.oldest_pending_at)) is not None and waited > _STUCK_AFTER:
        who = "no process of the account runs" if state.processes == 0 else "no running process handles them"
        return warning(
            f"{found}; the oldest has waited for {duration(waited)}, and {who}",
            f"start what answers: syft-flwr run PROJECT --email {account.email}; see what waits: syft-flwr watch",
        )
    if (waited := age(state.oldest_awaited_at)) is not None and waited > _STUCK_AFTER:
        return warning(
            f"{found}; the oldest was sent {duration(waited)} ago",
            "ask the other side whether it runs; syft-flwr peers shows whether they can see your folders",
        )
    return ok(found)


def check_quota(account: Account) -> Finding:
    """Set the account's own limits beside Google's."""
    minute, day = account.settings.quota_units_per_minute, account.settings.quota_units_per_day
    limits = [f"{limit:,} units a {period}" for limit, period in ((minute, "minute"), (day, "day")) if limit]
    own = f"a budget of {' and '.join(limits)}" if limits else "no budget"
    found = f"{own}; Google gives a project {_GOOGLES_MINUTE:,} a minute, and {_GOOGLES_DAY:,} a day before charges"
    if (minute or 0) > _GOOGLES_MINUTE or (day or 0) > _GOOGLES_DAY:
        return warning(found, "a budget above Google's own limits keeps nothing in check; lower it")
    return ok(found)
