from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syft_flwr.errors import ConfigurationError, InvalidNameError
from syft_flwr.project_table import load_project
from syft_flwr.settings import (
    GOOGLE_URL,
    Endpoint,
    Settings,
    load_email,
    load_endpoint,
    load_settings,
    state_root,
)

VARIABLES = (
    "SYFTBOX_EMAIL",
    "GDRIVE_TOKEN_PATH",
    "DRIVE_EMULATOR_HOST",
    "SYFT_FLWR_STATE_DIR",
    "SYFT_FLWR_MSG_TIMEOUT",
    "SYFT_FLWR_POLL_INTERVAL",
)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_without_anything_the_defaults_hold():
    assert load_settings() == Settings()
    assert load_endpoint() == Endpoint(GOOGLE_URL, None, is_emulator=False)
    assert load_email() is None
    assert state_root().is_absolute()


def test_the_environment_overlays_the_defaults_and_arguments_overlay_both(monkeypatch):
    monkeypatch.setenv("SYFT_FLWR_POLL_INTERVAL", "0.5")
    monkeypatch.setenv("SYFT_FLWR_MSG_TIMEOUT", "30")

    assert load_settings() == Settings(poll_interval=0.5, message_timeout=30.0)
    assert load_settings(poll_interval=7, message_timeout=None).poll_interval == 7
    assert load_settings(poll_interval=7, message_timeout=None).message_timeout == 30
    assert load_settings(cleanup=False).cleanup is False


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "1e400", "True", " "])
def test_a_variable_that_is_no_positive_number_is_named(monkeypatch, text):
    monkeypatch.setenv("SYFT_FLWR_POLL_INTERVAL", text)

    with pytest.raises(ConfigurationError, match="SYFT_FLWR_POLL_INTERVAL"):
        load_settings()


WRONG = [0, -1, float("nan"), float("inf"), 10**400, "2", True, [], 2.0**63]


@pytest.mark.parametrize("name", [field.name for field in fields(Settings) if not isinstance(field.default, bool)])
def test_an_argument_of_a_wrong_kind_is_named(name):
    for value in WRONG:
        with pytest.raises(ConfigurationError, match=name):
            load_settings(**{name: value})


@pytest.mark.parametrize("name", ["cleanup", "inline_bodies"])
@pytest.mark.parametrize("value", [1, 0, "yes", []])
def test_a_switch_is_yes_or_no(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be true or false"):
        load_settings(**{name: value})


@pytest.mark.parametrize("variable", ["SYFT_FLWR_QUOTA_PER_MINUTE", "SYFT_FLWR_QUOTA_PER_DAY"])
def test_the_quota_can_be_limited_by_a_variable(monkeypatch, variable):
    monkeypatch.setenv(variable, "5000")
    assert 5000 in (load_settings().quota_units_per_minute, load_settings().quota_units_per_day)
    for text in ("0", "1.5", "many"):
        monkeypatch.setenv(variable, text)
        with pytest.raises(ConfigurationError, match=variable):
            load_settings()


def test_what_is_counted_is_counted_in_whole_numbers():
    assert load_settings(lane_capacity=5, quota_units_per_minute=2000).lane_capacity == 5
    for name in ("lane_capacity", "quota_units_per_minute", "max_attempts"):
        with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
            load_settings(**{name: 2.5})


def test_a_setting_that_does_not_exist_is_named():
    with pytest.raises(ConfigurationError, match="'pol_interval'"):
        load_settings(pol_interval=1)


@given(st.sampled_from([field.name for field in fields(Settings)]), st.none() | st.integers() | st.floats() | st.text())
def test_settings_are_what_their_types_say_or_refused(name, value):
    try:
        loaded = load_settings(**{name: value})
    except ConfigurationError:
        return
    default = getattr(Settings(), name)
    assert type(getattr(loaded, name)) in (type(default), float if name == "max_poll_interval" else int)


@pytest.mark.parametrize("host", ["127.0.0.1:8085", "localhost:1", "[::1]:65535"])
def test_the_emulator_is_found_by_host_and_port(monkeypatch, host):
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)

    assert load_endpoint() == Endpoint(f"http://{host}", None, is_emulator=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        ":8085",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:٣٣",
        "http://127.0.0.1:8085",
        "127.0.0.1:8085/",
        "127.0.0.1:8085?x",
        "127.0.0.1:8085#x",
        "user@127.0.0.1:8085",
        "::1:8085",
        "[::1:8085",
        " 127.0.0.1:8085",
        "127.0.0.1:80 85",
        "127.0.0.1:8085\n",
    ],
)
def test_an_emulator_that_is_no_host_and_port_is_refused_with_an_example(monkeypatch, host):
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)

    with pytest.raises(ConfigurationError, match="DRIVE_EMULATOR_HOST must be host:port, for example 127"):
        load_endpoint()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30))
def test_no_emulator_host_is_too_odd_to_be_judged(monkeypatch, host):
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)
    try:
        endpoint = load_endpoint()
    except ConfigurationError:
        return
    assert endpoint.url == f"http://{host}"


def test_paths_in_the_environment_may_start_at_home_and_do_not_depend_on_where_one_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", "~/token.json")
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", "state")
    monkeypatch.chdir(tmp_path)

    assert load_endpoint().token_path == Path("/home/me/token.json")
    assert state_root() == tmp_path / "state"


def test_the_home_of_nobody_is_an_error_that_names_the_variable(monkeypatch):
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", "~no-such-user/token.json")
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", "~no-such-user/state")

    with pytest.raises(ConfigurationError, match="GDRIVE_TOKEN_PATH"):
        load_endpoint()
    with pytest.raises(ConfigurationError, match="SYFT_FLWR_STATE_DIR"):
        state_root()


def test_the_address_is_the_argument_or_else_the_environments(monkeypatch):
    monkeypatch.setenv("SYFTBOX_EMAIL", " env@x.org ")

    assert load_email("arg@x.org") == "arg@x.org"
    assert load_email("") == load_email() == "env@x.org"
    with pytest.raises(InvalidNameError):
        load_email("nobody")


def test_a_project_without_our_table_or_without_a_file_has_no_settings(tmp_path):
    assert load_project(tmp_path) == {}
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert load_project(tmp_path) == {}


def test_a_projects_table_is_read(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.syft_flwr]\ntransport = "p2p"\n')

    assert load_project(tmp_path) == {"transport": "p2p"}


@pytest.mark.parametrize("content", [b"tool = 1", b"[tool]\nsyft_flwr = 1", b"[tool", b"\xff"])
def test_a_project_file_that_makes_no_sense_is_named(tmp_path, content):
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        load_project(tmp_path)
