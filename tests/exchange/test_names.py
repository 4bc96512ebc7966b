"""Names that other systems trip over; none is ever a path on this machine."""

from __future__ import annotations

from pathlib import Path

from accounts import DO, DS, owner, serving
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

NAMES = (
    "flwr/my app/v1",
    "quotes ' and \"",
    "back\\slash and \\'",
    "emoji 🩺 and ümläut",
    "..",
    "../../../etc/passwd",
    "a" * 300,
    "ü" * 200,
    "%2e%2e%2f {} * ? <>|:",
    " leading and trailing ",
    "rpc",
    "x.request",
    "syft_outbox_inbox_x",
)

ADDRESSES = (
    "first_last@example.com",
    "a_to_b@example.com",
    "x+tag@example.com",
    "o'brien@example.com",
    "Capitals.Mixed@Example.COM",
    "syft_outbox_inbox_@example.com",
)


def test_every_name_of_an_app_or_endpoint_works_on_the_wire(drive: DriveEmulator, tmp_path: Path) -> None:
    events = [P2PFileEvents(name, DO, poll_interval=0.05) for name in NAMES]
    for name, watcher in zip(NAMES, events, strict=True):
        watcher.on_request(f"/{name}", lambda body, name=name: f"{name}: {body.decode()}")

    with serving(*events), P2PFileRpc(DS, NAMES[0]) as rpc:
        futures = rpc.send_many([(DO, name, f"/{name}", b"body") for name in NAMES])
        replies = rpc.wait(futures, 30)

    assert [body.decode() for body in replies.values()] == [f"{name}: body" for name in NAMES]
    folders = {file.name for file in drive.files() if file.size is None}
    assert folders >= set(NAMES)
    assert all(path.is_relative_to(tmp_path / "state") for path in tmp_path.rglob("*"))


def test_every_address_works_as_sender_and_as_recipient(drive: DriveEmulator) -> None:
    for number, sender in enumerate(ADDRESSES):
        recipient = ADDRESSES[number - 1]
        with serving(owner(bytes.upper, email=recipient, app="app")), P2PFileRpc(sender, "app") as rpc:
            future_id = rpc.send(recipient.lower(), "app", "messages", b"x")
            assert rpc.wait([future_id], 20) == {future_id: b"X"}, (sender, recipient)
