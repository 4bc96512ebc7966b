"""What makes answers late, though nothing takes long."""

from __future__ import annotations

import socket

import requests

from drive_emulator import DriveEmulator


def test_no_part_of_an_answer_waits_for_the_client_to_confirm_another(emulator: DriveEmulator) -> None:
    with requests.Session() as session:
        session.get(f"{emulator.url}/drive/v3/about?fields=user", headers={"Authorization": "Bearer a@example.com"})
        [connection] = emulator._server._server.server_state.connections
        connected = connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
