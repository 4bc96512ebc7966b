from __future__ import annotations

import logging
from pathlib import Path

import pytest

from syft_flwr.client import SyftFlwrClient, SyftP2PClient, create_client
from syft_flwr.errors import ConfigurationError
from syft_flwr.events import P2PFileEvents, create_events_watcher
from syft_flwr.rpc import P2PFileRpc, create_rpc

ME = "me@example.com"

pytestmark = pytest.mark.usefixtures("plain_environment")


def project(directory: Path, text: str) -> Path:
    (directory / "pyproject.toml").write_text(text, encoding="utf-8")
    return directory


def test_all_paths_are_logical_places_in_drive() -> None:
    client = SyftP2PClient(email=ME)

    assert client.email == ME
    assert client.syftbox_folder == client.datasites == Path("SyftBox")
    assert client.config_path == Path("SyftBox/.config")
    assert client.my_datasite == Path(f"SyftBox/{ME}")
    assert client.app_data() == Path(f"SyftBox/{ME}/app_data")
    assert client.app_data("flwr/diabetes") == Path(f"SyftBox/{ME}/app_data/flwr/diabetes")
    assert client.app_data("flwr/diabetes", "you@example.com") == Path("SyftBox/you@example.com/app_data/flwr/diabetes")
    assert client.app_data(datasite="you@example.com") == Path("SyftBox/you@example.com/app_data")
    assert client.get_client() is client
    assert isinstance(client, SyftFlwrClient)


def test_what_is_no_address_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="address"):
        SyftP2PClient("nobody")


def test_from_env_reads_the_environment_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="SYFTBOX_EMAIL"):
        SyftP2PClient.from_env()
    monkeypatch.setenv("SYFTBOX_EMAIL", ME)
    assert SyftP2PClient.from_env().email == ME


def test_an_explicit_transport_comes_before_the_projects(tmp_path: Path) -> None:
    directory = project(tmp_path, '[tool.syft_flwr]\ntransport = "syftbox"\n')

    assert create_client("p2p", directory, ME).email == ME
    with pytest.raises(ConfigurationError, match="syftbox"):
        create_client(project_dir=directory, email=ME)


def test_the_projects_transport_comes_before_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFTBOX_EMAIL", ME)
    with pytest.raises(ConfigurationError, match="'syftbox'"):
        create_client(project_dir=project(tmp_path, '[tool.syft_flwr]\ntransport = "syftbox"\n'))
    assert create_client(project_dir=project(tmp_path, '[tool.syft_flwr]\ntransport = "p2p"\n')).email == ME
    assert create_client(project_dir=str(project(tmp_path, "[project]\nname = 'x'\n"))).email == ME


def test_the_environments_account_means_p2p(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFTBOX_EMAIL", ME)

    assert create_client().email == ME
    assert create_client(email="other@example.com").email == "other@example.com"


def test_nothing_to_go_by_is_an_error_that_says_what_to_do() -> None:
    for email in (None, ME):
        with pytest.raises(RuntimeError, match=r"transport='p2p'.*pyproject\.toml.*SYFTBOX_EMAIL"):
            create_client(email=email)


def test_p2p_without_an_address_is_an_error_that_names_both_ways() -> None:
    with pytest.raises(ValueError, match=r"email=.*SYFTBOX_EMAIL"):
        create_client(transport="p2p")


@pytest.mark.parametrize("transport", ["syftbox", "local", ""])
def test_other_transports_are_refused(transport: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{transport}'"):
        create_client(transport, email=ME)


def test_options_of_other_transports_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        create_client("p2p", email=ME, filepath="config.json")
    assert "filepath" in caplog.text


def test_the_factories_of_rpc_and_events_go_with_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SyftP2PClient(ME)
    rpc, events = create_rpc(client=client, app_name="flwr/a"), create_events_watcher("flwr/a", client)

    assert isinstance(rpc, P2PFileRpc)
    assert (rpc.sender_email, rpc.app_name) == (ME, "flwr/a")
    assert isinstance(events, P2PFileEvents)
    assert (events.client_email, events.is_running) == (ME, False)
    monkeypatch.setenv("SYFTBOX_EMAIL", "env@example.com")
    assert create_events_watcher("flwr/a").client_email == "env@example.com"


def test_a_client_of_somebody_elses_making_is_refused() -> None:
    class Other(SyftP2PClient):
        pass

    assert create_rpc(Other(ME), "a") is not None
    for make in (lambda: create_rpc(object(), "a"), lambda: create_events_watcher("a", object())):  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="SyftP2PClient"):
            make()
