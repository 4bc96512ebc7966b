"""Import paths and signatures are a contract with existing users."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import syft_flwr
import syft_flwr.client
import syft_flwr.events
import syft_flwr.rpc

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
EMPTY = inspect.Parameter.empty
P2P = ("transport", "p2p")


def parameters(function: Any) -> list[tuple[str, Any]]:
    """Return the parameters that can be given by position, with their defaults, without ``self``."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in found if p.kind is POSITIONAL and p.name not in ("self", "cls")]


def test_the_public_names_are_these() -> None:
    assert set(syft_flwr.client.__all__) == {"SyftFlwrClient", "SyftP2PClient", "create_client"}
    assert set(syft_flwr.rpc.__all__) == {"SyftFlwrRpc", "P2PFileRpc", "create_rpc"}
    assert set(syft_flwr.events.__all__) == {
        *("SyftFlwrEvents", "P2PFileEvents", "MessageHandler", "create_events_watcher"),
    }
    assert set(syft_flwr.__all__) == {"bootstrap", "run"}
    for module in (syft_flwr, syft_flwr.client, syft_flwr.rpc, syft_flwr.events):
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (syft_flwr.client.SyftP2PClient, [("email", EMPTY)]),
        (syft_flwr.client.SyftP2PClient.from_env, []),
        (syft_flwr.bootstrap, [*((name, EMPTY) for name in ("flwr_project_dir", "aggregator", "datasites")), P2P]),
        (syft_flwr.run, [("project_dir", EMPTY), ("mock_dataset_paths", EMPTY)]),
        (syft_flwr.run.syftbox_run_flwr_client, [("flower_project_dir", EMPTY)]),
        (syft_flwr.run.syftbox_run_flwr_server, [("flower_project_dir", EMPTY)]),
        (syft_flwr.client.SyftP2PClient.app_data, [("app_name", None), ("datasite", None)]),
        (syft_flwr.client.SyftP2PClient.get_client, []),
        (syft_flwr.client.create_client, [("transport", None), ("project_dir", None), ("email", None)]),
        (syft_flwr.rpc.P2PFileRpc, [("sender_email", EMPTY), ("app_name", EMPTY)]),
        (
            syft_flwr.rpc.P2PFileRpc.send,
            [("to_email", EMPTY), ("app_name", EMPTY), ("endpoint", EMPTY), ("body", EMPTY), ("encrypt", False)],
        ),
        (syft_flwr.rpc.P2PFileRpc.get_response, [("future_id", EMPTY)]),
        (syft_flwr.rpc.P2PFileRpc.delete_future, [("future_id", EMPTY)]),
        (syft_flwr.rpc.create_rpc, [("client", EMPTY), ("app_name", EMPTY)]),
        (
            syft_flwr.events.P2PFileEvents,
            [("app_name", EMPTY), ("client_email", EMPTY), ("poll_interval", 2.0), ("max_processed_requests", 10_000)],
        ),
        (
            syft_flwr.events.P2PFileEvents.on_request,
            [("endpoint", EMPTY), ("handler", EMPTY), ("auto_decrypt", True), ("encrypt_reply", False)],
        ),
        (syft_flwr.events.P2PFileEvents.run_forever, []),
        (syft_flwr.events.P2PFileEvents.stop, []),
        (
            syft_flwr.events.create_events_watcher,
            [
                *[("app_name", EMPTY), ("client", None), ("cleanup_expiry", "1d"), ("cleanup_interval", "1d")],
                ("poll_interval", 2.0),
            ],
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_the_documented_signatures_hold(function: Any, expected: list[tuple[str, Any]]) -> None:
    assert parameters(function) == expected


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (syft_flwr.client.SyftP2PClient, ["email", "syftbox_folder", "config_path", "my_datasite", "datasites"]),
        (syft_flwr.events.P2PFileEvents, ["client_email", "app_dir", "is_running"]),
    ],
)
def test_the_documented_properties_are_properties(cls: type, names: list[str]) -> None:
    assert all(isinstance(inspect.getattr_static(cls, name), property) for name in names)


def test_the_classes_derive_from_their_documented_abstractions() -> None:
    for concrete, abstract in (
        (syft_flwr.client.SyftP2PClient, syft_flwr.client.SyftFlwrClient),
        (syft_flwr.rpc.P2PFileRpc, syft_flwr.rpc.SyftFlwrRpc),
        (syft_flwr.events.P2PFileEvents, syft_flwr.events.SyftFlwrEvents),
    ):
        assert issubclass(concrete, abstract)
        assert inspect.isabstract(abstract)


def test_importing_brings_in_neither_flower_nor_the_google_client_and_reads_no_environment() -> None:
    program = (
        "import os, sys\n"
        "class Environment(dict):\n"
        "    def __getitem__(self, key):\n"
        "        assert not key.startswith(('SYFT', 'DRIVE_', 'GDRIVE')), key\n"
        "        return super().__getitem__(key)\n"
        "    def get(self, key, default=None):\n"
        "        assert not key.startswith(('SYFT', 'DRIVE_', 'GDRIVE')), key\n"
        "        return super().get(key, default)\n"
        "os.environ = Environment(os.environ)\n"
        "import syft_flwr, syft_flwr.client, syft_flwr.rpc, syft_flwr.events, syft_flwr.runtime\n"
        "client = syft_flwr.client.SyftP2PClient('me@example.com')\n"
        "rpc = syft_flwr.rpc.create_rpc(client, 'flwr/a')\n"
        "events = syft_flwr.events.create_events_watcher('flwr/a', client)\n"
        "events.on_request('messages', bytes.upper)\n"
        "heavy = ('flwr', 'googleapiclient', 'uvicorn', 'starlette', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert (child.stdout, child.stderr) == ("[]\n", "")
