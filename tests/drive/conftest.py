from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import google.oauth2.credentials
import pytest
from scripted import ME, ScriptedServer

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.testing.clock import ManualClock


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def clock() -> ManualClock:
    """Time that jumps to the end of every wait."""
    return ManualClock(auto=True)


@pytest.fixture
def open_gateway(server: ScriptedServer, clock: ManualClock) -> Iterator[Callable[..., HttpDriveGateway]]:
    """Open gateways to the scripted server, and close them after the test."""
    opened: list[HttpDriveGateway] = []

    def open_gateway(credentials: Any = None, **options: Any) -> HttpDriveGateway:
        credentials = credentials or google.oauth2.credentials.Credentials(token=ME)
        opened.append(HttpDriveGateway(server.endpoint, credentials, **{"clock": clock, "timeout": 10.0, **options}))
        return opened[-1]

    yield open_gateway
    for gateway in opened:
        gateway.close()


@pytest.fixture
def gateway(open_gateway: Callable[..., HttpDriveGateway]) -> HttpDriveGateway:
    return open_gateway()
