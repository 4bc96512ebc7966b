"""Every kind of fault, at every method that it can strike: nothing lost, nothing twice, others go on, calls bounded."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest
from parties import Party, World

from syft_flwr.drive import gateway
from syft_flwr.testing import DriveEmulator, FaultRelay
from syft_flwr.testing.fault_kinds import KINDS, METHODS
from syft_flwr.testing.http_server import Request
from syft_flwr.testing.relayed_call import RelayedCall

CALLED = METHODS - {"files.update"}
ABOUT_FILES = CALLED - {"about.get", "changes.getStartPageToken", "changes.list", "files.list", "files.generateIds"}
SMALL, LARGE = 12_000, 25_000
"""Bytes of a body that does not ride in properties, and of one that goes in an upload session of its own."""
FILE_ID = re.compile(rb"(?<![\w-])1[\w-]{32}(?![\w-])")

MINUTES = 3
CALLS_A_POLL = 120
"""A list is broken off after fifty empty pages; the loop's own pauses grow after that, those of the test do not."""

ENDS_THE_LOOP = {("unauthorized", "changes.list"), ("unauthorized", "changes.getStartPageToken")}
"""The owner's log-in counts as revoked."""
SEEM_DELETED = {("other_success", "files.delete"), ("not_found", "files.delete"), ("unauthorized", "files.delete")}
"""Drive itself says that the file is gone, or a new process has to delete it."""
NEVER_RIGHT = {"empty", "shortened", "altered", "longer", "badly_compressed", "forbidden"}
"""Kinds that let a content come wrong in the same way for minutes, after which the message counts as damaged."""
OTHERWISE_EACH_TIME = {"other_success"}
"""Kinds whose contents differ: whether one comes wrong for so long depends on how often Drive is asked."""
REAL_TIME = {"hung", "dripping", "late"}
"""Kinds that take the test's own seconds: all methods in the slow suite, some here."""
SOME = {"changes.list", "files.get_media", "files.create"}

PAIRS = [
    pytest.param(name, method, marks=[pytest.mark.slow] if name in REAL_TIME and method not in SOME else [])
    for name, kind in KINDS.items()
    for method in sorted(CALLED)
    if kind.strikes(method)
]


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """Return a world for a kind of fault, the same for all its methods: an owner at work and a sender who knows it."""
    with DriveEmulator() as drive, FaultRelay(drive.url) as relay, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "MULTIPART_LIMIT", 2 * SMALL)
        worlds: dict[str, World] = {}

        def make(name: str) -> World:
            if name not in worlds:
                close()
                worlds[name] = World(drive, relay, tmp_path_factory.mktemp(name))
                owner, other = (
                    worlds[name].party("owner@example.com", answers=True),
                    worlds[name].party("b@example.com", relayed=False),
                )
                worlds[name].step()
                future = worlds[name].ask(other, owner, b"warm")
                worlds[name].step()
                assert worlds[name].answer(other, future) == b"mraw"
            return worlds[name]

        def close() -> None:
            for world in worlds.values():
                world.close()
            worlds.clear()

        yield make
        close()


class Concerns:
    """Strikes the victim's calls, and the owner's that are about the victim or about nobody."""

    def __init__(self, world: World, victim: Party, owner: Party, method: str) -> None:
        self._world = world
        self._victim = victim.email
        self._everywhere = {victim.email, *(() if method in ABOUT_FILES else (owner.email,))}
        self._owner = owner.email
        self._known: set[bytes] = set()
        self._theirs: set[bytes] = set()
        self.struck = 0

    def __call__(self, call: RelayedCall, request: Request) -> bool:
        strikes = call.account in self._everywhere or (call.account == self._owner and self._is_about_victim(request))
        self.struck += strikes
        return strikes

    def _is_about_victim(self, request: Request) -> bool:
        text = request.path.encode() + request.body
        new = {*FILE_ID.findall(text)} - self._known
        if new:  # to look at all files takes longer than a call
            files = {file.id.encode(): file.path for file in self._world.drive.files(content=False)}
            self._known |= files.keys() | new
            self._theirs |= {file_id for file_id, path in files.items() if self._victim in path}
            new -= files.keys()
        is_theirs = self._victim.encode() in text or any(file_id in text for file_id in self._theirs)
        if is_theirs:
            self._theirs |= new  # what is about to be made
        return is_theirs


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_no_fault_loses_or_repeats_a_message_or_holds_up_others(
    make_world: Callable[[str], World], name: str, method: str
) -> None:
    world = make_world(name)
    owner, other = world.party("owner@example.com"), world.party("b@example.com")
    victim = world.party(f"{method.lower()}@example.com")
    randoms = random.Random(f"{name} {method}")
    size = LARGE if method == "uploads.put" else SMALL
    struck, again, bystander, after = (randoms.randbytes(each) for each in (size, size, 100, 100))
    forgotten = None
    if method == "files.delete":
        forgotten = world.ask(victim, owner, b"before")
        world.step()
    calls, time = len(world.relay.calls()), world.clock.monotonic()

    concerns = Concerns(world, victim, owner, method)
    with world.relay.fault(name, method=method, where=concerns):
        if forgotten is not None:
            victim.runtime.delete_future(forgotten)
        asked = world.ask(victim, owner, struck)
        asked_meanwhile = world.ask(other, owner, bystander)
        assert asked_meanwhile is not None
        for _ in range(MINUTES):
            world.step(60.0)
    if (name, method) not in ENDS_THE_LOOP:
        assert world.answer(other, asked_meanwhile) == bystander[::-1], "others' messages go on meanwhile"
    assert len(world.relay.calls()) - calls < (MINUTES + 2) * CALLS_A_POLL
    assert world.clock.monotonic() - time < 60.0 * MINUTES * 2, "no call pauses for long"
    assert concerns.struck

    if asked is None:  # its sender was told, and sends again: now what the owner does for them is struck
        asked, struck = world.ask(victim, owner, again), again
        assert asked is not None
        with world.relay.fault(name, method=method, where=concerns):
            world.step(60.0)
    asked_after = world.ask(victim, owner, after)
    assert asked_after is not None
    open_still = {victim: [asked, asked_after], other: [asked_meanwhile]}
    left: list[str] = []
    for _ in range(20):
        world.step(60.0)
        left = [file.name for file in world.drive.files(content=False) if forgotten and forgotten in file.name]
        answers = [world.answer(asker, future) for asker, futures in open_still.items() for future in futures]
        if None not in answers and (not left or (name, method) in SEEM_DELETED):
            break
    answer = world.answer(victim, asked)
    if method == "files.get_media" and name in NEVER_RIGHT:
        assert b'"error"' in (answer or b""), "its sender is told"
    elif method == "files.get_media" and name in OTHERWISE_EACH_TIME:
        assert answer == struck[::-1] or b'"error"' in (answer or b"")
    else:
        assert answer == struck[::-1]
    assert world.answer(victim, asked_after) == after[::-1]
    assert world.answer(other, asked_meanwhile) == bystander[::-1]
    assert max(world.handled.values()) == 1
    assert not left or (name, method) in SEEM_DELETED
    world.leave(victim)
