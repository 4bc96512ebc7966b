"""Whom a handler answers: where a list exists it rules, wherever a request can reach a handler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.subject import Subject

from accounts import APP, DO, DS, Observed, PlainAccount, calls, owner, serving, wait_until
from syft_flwr.errors import InvalidNameError
from syft_flwr.feed import at_endpoint, defer, from_sender, in_inbox, reply_with
from syft_flwr.feed.gathering import sender_of
from syft_flwr.flower.node import node_id
from syft_flwr.models import Message
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

MALLORY = "mallory@example.net"
KELVIN = "mar\u212a@example.org"
MARK = "mark@example.org"


def deferred(runtime: Any, **settings: Any) -> Any:
    def answer(message: Message) -> None:
        runtime.reply(message, b"answered")

    return runtime.messages.pipe(defer(runtime, 60.0, **settings), ops.do_action(answer))


def replied(runtime: Any, **settings: Any) -> Any:
    return runtime.messages.pipe(reply_with(runtime, lambda body, _: b"answered", **settings))


@pytest.fixture(params=[deferred, replied])
def pipeline(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def mallory(drive: DriveEmulator) -> Iterator[P2PFileRpc]:
    with P2PFileRpc(MALLORY, APP) as rpc:
        yield rpc


@pytest.mark.parametrize("how", ["named", "predicate", "environment"])
def test_a_pipeline_answers_those_on_its_list_alone(
    drive: DriveEmulator, mallory: P2PFileRpc, pipeline: Callable[..., Any], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, Any] = {"named": {"allowed_senders": [DS.upper()]}, "predicate": {"allowed_senders": DS.__eq__}}
    if how == "environment":
        monkeypatch.setenv("SYFT_FLWR_ALLOWED_SENDERS", DS)
    with Observed(DO) as observed, P2PFileRpc(DS, APP) as rpc:
        pipeline(observed.runtime, **named.get(how, {})).subscribe()
        observed.runtime.start()
        refused = mallory.send(DO, None, "messages", b"let me in")
        wait_until(lambda: observed.rejected)
        answered = rpc.send(DO, None, "messages", b"hello")

        assert rpc.wait([answered], 20) == {answered: b"answered"}
        assert observed.reasons() == ["sender_not_allowed"]
        assert observed.rejected[0].claimed_sender == MALLORY
        assert mallory.get_response(refused) is None


def test_what_a_pipeline_refused_is_answered_once_another_lets_its_sender_in(
    drive: DriveEmulator, mallory: P2PFileRpc, pipeline: Callable[..., Any]
) -> None:
    with Observed(DO) as observed:
        pipeline(observed.runtime, allowed_senders=[DS]).subscribe()
        observed.runtime.start()
        early = mallory.send(DO, None, "messages", b"early")
        wait_until(lambda: observed.rejected)
        pipeline(observed.runtime, allowed_senders=[DS, MALLORY]).subscribe()

        assert mallory.wait([early], 20) == {early: b"answered"}


def test_a_pipeline_without_a_list_answers_whoever_shares_an_inbox_and_says_so_once(
    drive: DriveEmulator, mallory: P2PFileRpc, pipeline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with Observed(DO) as observed:
        pipeline(observed.runtime).subscribe()
        observed.runtime.start()
        for _ in range(2):
            assert mallory.wait([mallory.send(DO, None, "messages", b"hello")], 20)
        assert caplog.text.count("answers every account that shares an inbox") == 1
        with pytest.raises(InvalidNameError):
            pipeline(observed.runtime, allowed_senders="mallory")


def test_a_list_that_came_later_rules(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    events = owner(bodies.append)
    with P2PFileRpc(MALLORY, APP) as mallory, P2PFileRpc(DS, APP) as rpc:
        events.drain(10)
        monkeypatch.setenv("SYFT_FLWR_ALLOWED_SENDERS", DS)
        mallory.send(DO, None, "messages", b"let me in")
        rpc.send(DO, None, "messages", b"hello")
        events.drain(10)
    assert bodies == [b"hello"]


def test_a_sender_that_is_not_listed_makes_this_account_write_nothing(drive: DriveEmulator) -> None:
    with Observed(DO) as observed, serving(owner(bytes.upper, allowed_senders=lambda sender: sender == DS)):
        with P2PFileRpc(MALLORY, APP) as rpc:
            rpc.send(DO, None, "messages", b"one")
            rpc.send(DO, None, "other", b"two")
        wait_until(lambda: len(observed.messages) + len(observed.rejected) >= 2)
        observed.runtime.poll_once()
    written = {call for call in calls(drive, DO) if not call.endswith((".get", ".list", "getStartPageToken"))}
    assert written <= {"files.generateIds"}


def test_a_letter_that_looks_like_another_lets_nobody_in(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []
    with Observed(DO) as observed, serving(owner(bodies.append, allowed_senders=[MARK])):
        with PlainAccount(drive, MALLORY) as mallory:
            root = mallory.path("SyftBox", f"syft_outbox_inbox_{KELVIN}_to_{DO}")
            mallory.share(root, DO)
            folder = mallory.path(APP, "rpc", "messages", parent=root)
            mallory.put("00000000-0000-4000-8000-000000000001.request", folder, b"forged")
        wait_until(lambda: observed.rejected)
        assert [rejection.claimed_sender for rejection in observed.rejected] == [KELVIN]
        assert observed.reasons() == ["foreign_folder"]
        assert bodies == []


def test_operators_and_keys_tell_such_addresses_apart() -> None:
    def message(sender: str) -> Message:
        return Message("request", sender, DO, APP, "messages", "0" * 36, "file", "folder", 1, "")

    source: Subject[Message] = Subject()
    got: list[str] = []
    source.pipe(from_sender(MARK)).subscribe(lambda message: got.append(message.sender))
    source.pipe(in_inbox(DO, MARK), at_endpoint(APP, "messages")).subscribe(lambda m: got.append(m.sender))
    source.on_next(message(KELVIN))
    source.on_next(message(MARK.upper()))
    assert got == [MARK.upper()] * 2
    assert message(KELVIN).key != message(MARK).key == message(MARK.upper()).key
    assert node_id(KELVIN) != node_id(MARK) == node_id(MARK.upper())
    assert sender_of(message(KELVIN)) != sender_of(message(MARK))


def test_every_example_names_its_senders() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.ipynb")]
    calls = [
        (page.name, call)
        for page in pages
        for call in re.findall(
            r"^[^|`]*\b(?:P2PFileEvents|create_events_watcher|reply_with|defer)\((?:[^()]|\([^()]*\))+\)",
            page.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert len(calls) > 10
    assert [call for call in calls if "allowed_senders" not in call[1]] == []
