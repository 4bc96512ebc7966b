"""What pipelines rest on: nothing missed between subscriptions, an end that is told, errors that name their message."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from accounts import APP, DO, DS, PATIENCE, Observed, wait_until
from syft_flwr.errors import CredentialsError
from syft_flwr.feed import at_endpoint, reply_with
from syft_flwr.models import Message, Replied
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator


@pytest.mark.usefixtures("drive")
def test_what_comes_while_an_answering_pipeline_is_disposed_or_not_yet_there_is_answered_once_by_the_next() -> None:
    replies: list[Replied] = []
    with Observed(DO) as live, P2PFileRpc(DS, APP, poll_interval=0.05) as rpc:

        def pipeline() -> None:
            nonlocal subscription
            subscription = live.runtime.messages.pipe(
                at_endpoint(APP, "q"), reply_with(live.runtime, lambda body, _: body.upper(), allowed_senders=[DS])
            ).subscribe(replies.append)

        def ask(*bodies: bytes) -> list[str]:
            futures = rpc.send_many([(DO, APP, "q", body) for body in bodies])
            wait_until(lambda: len(live.messages) == len(futures) + before)
            return futures

        subscription = None
        live.runtime.start()
        for bodies in ([b"before", b"any"], [b"while", b"it", b"was disposed"]):
            before = len(live.messages)
            futures = ask(*bodies)
            pipeline()
            assert list(rpc.wait(futures, PATIENCE).values()) == [body.upper() for body in bodies]
            assert subscription is not None
            subscription.dispose()
    assert len(replies) == len({reply.message.future_id for reply in replies}) == 5


def test_a_login_that_is_revoked_under_a_pipeline_ends_every_stream_and_is_logged(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DO, tmp_path / "token.json")))
    with DriveRuntime.open(DO, poll_interval=0.05, max_poll_interval=None) as runtime:
        streams = ("messages", "changes", "responses", "replied", "rejected", "errors")
        ends: dict[str, Exception] = {}
        all_ended = threading.Event()

        def end(name: str, error: Exception) -> None:
            ends[name] = error
            if len(ends) == len(streams) + 1:
                all_ended.set()

        for name in streams:
            getattr(runtime, name).subscribe(on_error=lambda error, name=name: end(name, error))
        answering = runtime.messages.pipe(
            at_endpoint(APP, "q"), reply_with(runtime, lambda body, _: body, allowed_senders=[DS])
        )
        answering.subscribe(on_error=lambda error: end("pipeline", error))
        runtime.poll_once()
        drive.revoke_tokens(DO)
        drive.expire_tokens(DO)
        runtime.start()
        assert all_ended.wait(PATIENCE), ends.keys()
        assert {type(error) for error in ends.values()} == {CredentialsError}
        assert isinstance(runtime.failure, CredentialsError)
    assert ["syft-flwr login" in line for line in caplog.messages if "polling ended" in line] == [True]


@pytest.mark.usefixtures("drive")
def test_an_observer_that_chokes_on_a_message_is_reported_with_it() -> None:
    def choke(message: Message) -> None:
        raise ValueError(message.size)

    with Observed(DO) as live, P2PFileRpc(DS, APP) as rpc:
        live.runtime.messages.subscribe(choke)
        live.runtime.messages.pipe(at_endpoint(APP, "q")).subscribe(choke)
        rpc.send(DO, APP, "q", b"7777777")
        live.runtime.start()
        wait_until(lambda: len(live.errors) == 2)
        assert [error.message for error in live.errors] == live.messages * 2


@pytest.mark.usefixtures("drive")
def test_a_second_handle_sees_what_waits_from_its_start_and_shows_it() -> None:
    seen: list[Message] = []
    with Observed(DO) as first, P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "q", b"x")] * 5)
        first.runtime.start()
        wait_until(lambda: len(first.messages) == 5)
        with DriveRuntime.open(DO) as second:
            second.messages_from_start.subscribe(seen.append)
            wait_until(lambda: len(seen) == 5)
            assert {message.future_id for message in second.waiting()} == set(futures)
            assert len(second.waiting()) == 5


def test_asyncio_is_correct_in_python_s_development_mode(drive: DriveEmulator, tmp_path: Path) -> None:
    program = f"""
import asyncio
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed import aio, reply_with
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime

async def answer(body: bytes) -> bytes:
    await asyncio.sleep(0)
    return body.upper()

async def main() -> None:
    runtime = DriveRuntime.open({DO!r}, poll_interval=0.05)
    events = P2PFileEvents({APP!r}, {DO!r}, allowed_senders=[{DS!r}])
    events.on_request("q", answer)
    detach = events.attach(runtime)
    runtime.start()
    async def first():
        async for message in aio(runtime.messages):
            return message.endpoint
    with P2PFileRpc({DS!r}, {APP!r}, poll_interval=0.05) as rpc:
        endpoint = asyncio.ensure_future(first())
        assert await rpc.ask({DO!r}, "q", b"x", timeout=60) == b"X"
        assert await endpoint == "q"
        asked = asyncio.ensure_future(rpc.ask({DO!r}, "nobody", b"x", timeout=60))
        await asyncio.sleep(0.1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    detach()
    await asyncio.to_thread(runtime.close)

asyncio.run(main(), debug=True)
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        env=os.environ | {"SYFT_FLWR_STATE_DIR": str(tmp_path / "state"), "DRIVE_EMULATOR_HOST": drive.host},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "never retrieved" not in done.stderr
    assert "ResourceWarning" not in done.stderr
    assert "was never awaited" not in done.stderr
