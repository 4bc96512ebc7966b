"""The doctor's steps that ask Drive: does it answer, as whom, is there room, what time is it, do messages pass."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from syft_flwr.addresses import same_address
from syft_flwr.cli.account import Account, gateway_of
from syft_flwr.cli.findings import Finding, failed, ok, warning
from syft_flwr.cli.output import advice_for_silence, duration
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.peers import find_peers
from syft_flwr.errors import DriveUnavailableError
from syft_flwr.resources import DriveFile

_LEAST_ROOM = 100 * 1024**2
_CLOCK_ROUNDING = 3.0
"""Seconds that Drive's dates, which have no fractions, and the network may make out."""
_CLOCK_WARNING, _CLOCK_FAILURE = 30.0, 240.0
"""Seconds; Google refuses a service account's tokens when they are off by five minutes."""
FEED_PATIENCE = 60.0
_FEED_PAUSE = 1.0
_NAME = "syft-flwr doctor"


def check_drive(account: Account) -> Finding:
    """See whether Drive answers, and accepts the token."""
    gateway = gateway_of(account)
    account.close.append(gateway.close)
    try:
        account.address = gateway.about().email
    except DriveUnavailableError as error:
        return failed(f"{account.endpoint.url} does not answer: {error}", advice_for_silence())
    account.gateway = gateway
    return ok(f"{account.endpoint.url} answers")


def check_identity(account: Account) -> Finding:
    """See whether the credentials are the account's own."""
    if same_address(account.address, account.email):
        return ok(f"Drive knows this account as {account.address}")
    return failed(
        f"these credentials are {account.address}'s, not {account.email}'s",
        f"log in as the other one: syft-flwr login CLIENT_FILE --email {account.email}; or use "
        f"--email {account.address}",
    )


def check_storage(account: Account) -> Finding:
    """See whether the account can store files at all, and how much more."""
    used, limit = account.gateway.storage()
    if limit is None:
        return ok(f"{used / 1024**3:.1f} GB used, without a limit")
    if limit == 0:
        return failed(
            "the account has no storage of its own, as service accounts made since April 2025: every upload will fail",
            "use a person's login, delegation to a user (syft-flwr login KEY_FILE --subject USER), or a shared drive",
        )
    found = f"{used / 1024**3:.1f} of {limit / 1024**3:.1f} GB used"
    if limit - used < _LEAST_ROOM:
        return failed(found, "there is no room for messages: delete files, empty the trash, or buy storage")
    return ok(found)


def check_clock(account: Account) -> Finding:
    """Compare this machine's clock with Drive's."""
    ahead = time.time() - account.gateway.server_time()
    if abs(ahead) < _CLOCK_ROUNDING:
        return ok("as Drive's, to the second")
    found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Drive's"
    advice = "set this machine's clock, by NTP for example: timedatectl set-ntp true"
    if abs(ahead) > _CLOCK_FAILURE:
        return failed(found, f"Google refuses a service account's tokens from a clock that is so far off; {advice}")
    return warning(found, advice) if abs(ahead) > _CLOCK_WARNING else ok(found)


def check_round_trip(account: Account) -> Finding:
    """Upload a file into a folder of the account's own, see it in the feed, download it, and delete both."""
    gateway, content = account.gateway, _NAME.encode()
    before = gateway.meter.snapshot().units
    token = gateway.get_start_page_token()
    folder_id, file_id = gateway.generate_ids(2)
    gateway.create_folder(folder_id, _NAME, None)
    try:
        began = time.monotonic()
        gateway.upload(file_id, _NAME, folder_id, content)
        uploaded = time.monotonic() - began
        seen = wait_for_change(gateway, token, file_id)
        with tempfile.TemporaryDirectory(prefix="syft-flwr-") as temporary:
            began = time.monotonic()
            gateway.download(file_id, Path(temporary) / "body", size=len(content), sha256=None)
            downloaded = time.monotonic() - began
    finally:
        gateway.delete(folder_id)  # and what is in it
    units = gateway.meter.snapshot().units - before
    if seen is None:
        return failed(
            f"the change feed did not show a new file for {duration(FEED_PATIENCE)}; {units} units",
            "try again in some minutes; Google tells of outages at https://www.google.com/appsstatus",
        )
    return ok(f"up in {uploaded:.1f} s, in the feed after {seen[0]:.1f} s, down in {downloaded:.1f} s; {units} units")


def wait_for_change(gateway: HttpDriveGateway, token: str, file_id: str) -> tuple[float, DriveFile | None] | None:
    """Return the seconds until an account's feed shows a file, and how; ``None`` when it does not in time."""
    began = time.monotonic()
    while True:
        page = gateway.list_changes(token)
        for change in page.changes:
            if change.file_id == file_id:
                return time.monotonic() - began, change.file
        if time.monotonic() - began > FEED_PATIENCE:
            return None
        token = page.next_page_token or page.new_start_page_token or token
        if page.next_page_token is None:
            time.sleep(_FEED_PAUSE)


def check_peers(account: Account) -> Finding:
    """See whether both sides can write into the inboxes; those of strangers don't count."""
    everybody = find_peers(account.gateway, account.address)
    peers = [peer for peer in everybody if not all(inbox.is_foreign for inbox in peer.inboxes)]
    if not peers:
        return ok("no inbox with anybody yet: they are made with the first message")
    bad = [(peer, inbox) for peer in peers for inbox in peer.inboxes if inbox.trouble and not inbox.is_foreign]
    mine = [peer.email for peer, inbox in bad if inbox.is_mine]
    theirs = [peer.email for peer, inbox in bad if not inbox.is_mine]
    if mine:
        names = ", ".join(f"{peer.email}'s {inbox.name} {inbox.trouble}" for peer, inbox in bad)
        return warning(names, f"share again what is yours: syft-flwr peers add {mine[0]} --app APP")
    if theirs:
        found = f"the folder of {', '.join(theirs)} can only be viewed from here"
        return warning(found, "messages go into a folder of yours instead; they can share theirs for editing")
    return ok(f"{len(peers)} with inboxes that work: {', '.join(peer.email for peer in peers)}")
