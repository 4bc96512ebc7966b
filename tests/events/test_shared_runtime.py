from __future__ import annotations

import logging

import pytest

from accounts import APP, DO, DS, Observed, owner, serving
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


def test_an_account_sends_and_serves_over_one_runtime(drive: DriveEmulator) -> None:
    with P2PFileRpc(DO, APP) as rpc, serving(owner(bytes.upper)), Observed(DO) as observed:
        assert rpc.runtime._engine is observed.runtime._engine
        with P2PFileRpc(DS, APP) as other, serving(owner(bytes.title, email=DS)):
            asked = other.send(DO, APP, "messages", b"they ask")
            ask = rpc.send(DS, APP, "messages", b"we ask")
            assert other.wait([asked], 20) == {asked: b"THEY ASK"}
            assert rpc.wait([ask], 20) == {ask: b"We Ask"}


def test_settings_that_come_too_late_are_named(drive: DriveEmulator, caplog: pytest.LogCaptureFixture) -> None:
    with P2PFileRpc(DO, APP) as rpc, caplog.at_level(logging.WARNING):
        rpc.runtime.poll_once()
        with serving(owner(bytes.upper, allowed_senders=[DS])):
            assert caplog.messages == []
        with serving(owner(bytes.upper, allowed_senders=[DS], cleanup_expiry=60.0, sweep_interval=60.0)):
            assert caplog.messages == [f"{DO} is open already, with other settings of cleanup_expiry: they stay"]
