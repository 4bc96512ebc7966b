"""The requests of one sender are handled in the order in which Drive took them."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr import wire
from syft_flwr.exchange.routes import Route
from syft_flwr.resources import DriveFile
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

ME, DS, OTHER = "do@example.com", "ds@example.com", "other@example.com"
REQUESTS = 20


def inbox(drive: MemoryDrive, sender: str) -> str:
    """Make the sender's inbox to ``ME``, and return the folder of its endpoint."""
    gateway = drive.gateway(sender)
    root = gateway.create_folder(drive._new_id(), wire.inbox_root_name(sender, ME), None)
    gateway.share(root.id, ME)
    app = gateway.create_folder(drive._new_id(), "app", root.id)
    rpc = gateway.create_folder(drive._new_id(), wire.RPC_FOLDER, app.id)
    return gateway.create_folder(drive._new_id(), "messages", rpc.id).id


def send(drive: MemoryDrive, sender: str, folder: str, count: int) -> list[bytes]:
    """Upload requests one after the other, under IDs in no order, as Drive's are; return their bodies."""
    gateway, rng = drive.gateway(sender), random.Random(sender)
    bodies = [f"{sender} {number}".encode() for number in range(count)]
    for body in bodies:
        gateway.upload(f"id{rng.getrandbits(64):020d}", f"{uuid.uuid4()}.request", folder, body)
    return bodies


@pytest.mark.parametrize("hidden", [False, True], ids=["brought by the feed", "found by a sweep"])
def test_twenty_requests_of_one_millisecond_are_handled_in_the_order_of_sending(tmp_path: Path, hidden: bool) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    me = drive.gateway(ME)
    folders = {sender: inbox(drive, sender) for sender in (DS, OTHER)}
    handled: list[bytes] = []
    with runtime_on(me, State(tmp_path), clock, ME, inline=True, sweep_interval=1.0) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body)))
        runtime.poll_once()
        drive.hide = lambda _, file: hidden and not file.is_folder
        sent = {sender: send(drive, sender, folder, REQUESTS) for sender, folder in folders.items()}
        clock.advance(5.0)
        runtime.poll_once()
    for sender, bodies in sent.items():
        assert [body for body in handled if body.startswith(sender.encode())] == bodies


def test_requests_that_waited_for_their_handler_are_handled_in_the_order_of_sending(tmp_path: Path) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    drive.gateway(ME)
    state, folder = State(tmp_path), inbox(drive, DS)
    handled: list[bytes] = []
    with runtime_on(drive.gateway(ME), state, clock, ME, inline=True) as runtime:
        runtime.poll_once()
        sent = send(drive, DS, folder, REQUESTS)
        runtime.poll_once()
    with runtime_on(drive.gateway(ME), state, clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body)))
        runtime.poll_once()
    assert handled == sent


def test_a_drive_lists_the_newest_file_first() -> None:
    drive = MemoryDrive(ManualClock())
    folder = inbox(drive, DS)
    drive.gateway(ME)
    sent = send(drive, DS, folder, 3)
    found: list[DriveFile] = list(drive.gateway(ME).list_files(f"'{folder}' in parents"))
    by_id = {file_id: file.content for file_id, file in drive._files.items()}
    assert [by_id[file.id] for file in found] == sent[::-1]
