"""Owners that are silent over their work: asked, missed, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_fakes import Events, FakeDrive, FakeRpc
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, parties

from syft_flwr.flower.connection import DriveConnection, Polling
from syft_flwr.flower.node import Nodes, node_id
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.presence import Presence
from syft_flwr.flower.pulse import Pulse
from syft_flwr.flower.transport import PRESENCE, PRESENCE_ENDPOINT, wire_app_name
from syft_flwr.testing import DriveEmulator, ManualClock

OWNERS = ["do1@example.com", "do2@example.com"]
FIRST, SECOND = map(node_id, OWNERS)


class Watched:
    """A pulse with a clock of its own; both owners are there."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.drive, self.events = FakeDrive(), Events()
        self.nodes = Nodes(OWNERS)
        self.presence = Presence(self.nodes, self.clock, self.events)
        self.rpc = PatientRpc(FakeRpc(self.drive, "agg@example.com", self.clock), self.events)
        self.pulse = Pulse(self.rpc, "app", self.nodes, self.presence, self.presence.lost)
        for node in self.nodes:
            self.nodes.learn(node, [PRESENCE])
            self.presence.arrived(node)

    def at(self, now: float, *awaited: int) -> list[int]:
        self.clock.advance(now - self.clock.monotonic())
        self.pulse.look(awaited, "1")
        return self.presence.node_ids()

    def asked(self, owner: str) -> int:
        return len(self.drive.inbox(owner))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_only_an_owner_that_is_awaited_and_silent_is_asked_and_once(watched: Watched) -> None:
    watched.at(1000.0, FIRST)
    watched.at(1299.0, FIRST)
    assert [watched.asked(owner) for owner in OWNERS] == [0, 0]
    watched.at(1300.0, FIRST)
    watched.at(1400.0, FIRST)
    assert [watched.asked(owner) for owner in OWNERS] == [1, 0]


def test_an_answer_counts_as_a_sign_of_life_and_the_next_question_comes_after_as_long(watched: Watched) -> None:
    watched.at(0.0, FIRST)
    watched.at(300.0, FIRST)
    (question,) = watched.drive.inbox(OWNERS[0])
    watched.drive.answer(question.future_id, b"here")
    assert watched.at(310.0, FIRST) == [FIRST, SECOND]
    assert watched.presence.last_seen(FIRST) == 0.0
    assert watched.asked(OWNERS[0]) == 0
    watched.at(609.0, FIRST)
    assert watched.asked(OWNERS[0]) == 0
    watched.at(610.0, FIRST)
    assert watched.asked(OWNERS[0]) == 1


def test_an_owner_that_gives_no_sign_of_life_leaves_and_is_back_when_it_answers(watched: Watched) -> None:
    watched.at(0.0, FIRST, SECOND)
    watched.at(300.0, FIRST, SECOND)
    (question,) = watched.drive.inbox(OWNERS[0])
    (other,) = watched.drive.inbox(OWNERS[1])
    watched.drive.answer(other.future_id, b"here")
    assert watched.at(899.0, FIRST, SECOND) == [FIRST, SECOND]
    assert watched.at(900.0, FIRST, SECOND) == [SECOND]
    (away,) = [event for event in watched.events.named("owner") if event["state"] == "away"]
    assert (away["owner"], away["reason"]) == (OWNERS[0], "gives no sign of life")
    watched.drive.answer(question.future_id, b"here")
    assert watched.at(1000.0, FIRST) == [FIRST, SECOND]


def test_owners_that_come_now_and_then_or_know_nothing_of_it_are_not_asked(watched: Watched) -> None:
    watched.nodes.learn(FIRST, [])
    watched.at(0.0, FIRST)
    assert watched.at(10_000.0, FIRST) == [FIRST, SECOND]
    assert watched.asked(OWNERS[0]) == 0


def test_an_outage_of_the_aggregators_own_network_makes_nobody_absent(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.at(0.0, FIRST)
    watched.at(300.0, FIRST)
    monkeypatch.setattr(PatientRpc, "is_down", True)
    assert watched.at(5000.0, FIRST) == [FIRST, SECOND]
    monkeypatch.setattr(PatientRpc, "is_down", False)
    assert watched.at(5500.0, FIRST) == [FIRST, SECOND]
    assert watched.at(5600.0, FIRST) == [SECOND]


def test_an_owner_says_that_it_is_there_while_its_app_works(
    drive_emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setenv("ZOO_HOLD", str(hold))
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    project = zoo_project(tmp_path, "train_only", "counting", rounds=2)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
        owners = [start(owner) for owner in OWNERS]
        for owner in owners:
            owner.wait_for("working", group="2")
        with DriveConnection(AGGREGATOR, Polling(0.1, 0.4)) as link:
            rpc = link.rpc("zoo")
            asked = rpc.send(OWNERS[0], wire_app_name("zoo"), PRESENCE_ENDPOINT, b"?")
            assert rpc.answered([asked], 30.0)
            assert rpc.get_response(asked) == b"here"
        hold.unlink()
        code, result = aggregator.finish()
        assert code == 0, aggregator.story()
        assert sorted(result["last_seen"]) == OWNERS
        assert all(result["last_seen"].values())
