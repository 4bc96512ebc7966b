"""The data owner's loop with an app host that is a fake: what goes to the app, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flower_fakes import Events, FakeDrive, FakeEvents, Letter
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode

from syft_flwr.errors import FlowerError
from syft_flwr.flower._compat import context_from_bytes, context_to_bytes, set_task_identity
from syft_flwr.flower.codec import Stamp, decode, encode
from syft_flwr.flower.job import Outcome, Task
from syft_flwr.flower.node import node_id
from syft_flwr.flower.owner import DataOwner
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.run_store import RunStore

ME = "do1@example.com"


@dataclass
class CountingApps:
    """Counts in the context, and can crash."""

    crash: str = ""
    messages: list[Message] = field(default_factory=list)
    configs: list[tuple[dict[str, object], dict[str, object]]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        pass

    def run(self, task: Task, timeout: float) -> Outcome:
        asked, _ = decode(whole(task.message))
        own = context_from_bytes(task.context)
        self.messages.append(asked)
        self.configs.append((dict(own.node_config), dict(own.run_config)))
        self.timeouts.append(timeout)
        if self.crash:
            return Outcome(crash=self.crash)
        before = int(own.state["n"]["n"]) if "n" in own.state else 0  # type: ignore[index,call-overload,arg-type]
        own.state["n"] = ConfigRecord({"n": before + 1})
        reply = Message(RecordDict({"m": MetricRecord({"n": before + 1})}), reply_to=asked)
        return Outcome(encode(reply), context_to_bytes(own))

    def close(self) -> None:
        pass


def whole(pieces: Sequence[bytes | Path]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece.read_bytes() for piece in pieces)


class Owner:
    def __init__(self, directory: Path, drive_time: float | None = None, **config: object) -> None:
        self.apps = CountingApps()
        self.progress = Events()
        self.now = drive_time
        options = {"node_config": {"partition-id": 3}, "run_config": {"lr": 0.1, "depth": 2}, **config}
        self.events = FakeEvents(FakeDrive(), ME)
        self.owner = DataOwner(
            OwnerConfig(ME, **options),  # type: ignore[arg-type]
            self.events,
            self.apps,
            RunStore(directory / "runs"),
            drive_time=lambda: time.time() if self.now is None else self.now,
            progress=self.progress,
        )

    def send(self, message: Message, stamp: Stamp | None = None) -> Message | None:
        body = encode(message, stamp or Stamp(run_started=1000.0))
        reply = self.owner.handle(body, Letter("agg@example.com", ME, "flwr/x", "messages", "f", body).wire())
        return None if reply is None else decode(reply)[0]


def message(number: int = 1, *, run: int = 7, kind: str = "train", ttl: float = 600.0, **config: object) -> Message:
    set_task_identity(run, 1)
    record = ConfigRecord({"server-round": number, **config})  # type: ignore[arg-type]
    made = Message(RecordDict({"config": record}), node_id(ME), kind, ttl=ttl)
    made.metadata.__dict__["_message_id"] = f"message-{run}-{number}"
    return made


def counted(reply: Message | None) -> int:
    assert reply is not None
    return int(reply.content["m"]["n"])  # type: ignore[index,call-overload,arg-type]


def test_the_context_survives_a_restart_of_the_owner(tmp_path: Path) -> None:
    assert counted(Owner(tmp_path).send(message(1))) == 1
    assert counted(Owner(tmp_path).send(message(2))) == 2


def test_a_message_that_comes_again_after_a_crash_counts_once_and_gets_the_same_reply(tmp_path: Path) -> None:
    assert counted(Owner(tmp_path).send(message(1))) == 1
    again = Owner(tmp_path)
    assert counted(again.send(message(1))) == 1
    assert again.apps.messages == []
    assert counted(again.send(message(2))) == 2


def test_each_run_has_a_context_of_its_own(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    assert counted(owner.send(message(1), Stamp(run_started=1000.0))) == 1
    assert counted(owner.send(message(1, run=8), Stamp(run_started=2000.0))) == 1


def test_a_message_of_an_older_run_gets_a_word_and_never_reaches_the_app(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.send(message(1, run=8), Stamp(run_started=2000.0))
    reply = owner.send(message(1), Stamp(run_started=1000.0))
    assert reply is not None
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert "belongs to run 7; a later run 8 has begun" in str(reply.error.reason)
    assert len(owner.apps.messages) == 1
    assert len(owner.progress.named("ignored")) == 1


def test_configs_are_the_owners_own_with_the_aggregators_overrides_of_known_keys(tmp_path: Path) -> None:
    owner = Owner(tmp_path, run_overrides={"depth": 9})
    owner.send(message(), Stamp(run_started=1.0, run_config={"lr": 0.5, "depth": 4, "unknown": 1}))
    assert owner.apps.configs == [({"partition-id": 3}, {"lr": 0.5, "depth": 9})]


def test_a_crash_is_an_error_reply_and_leaves_the_context_as_it_was(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    assert counted(owner.send(message(1))) == 1
    owner.apps.crash = "the ClientApp's process was killed by SIGSEGV"
    reply = owner.send(message(2))
    assert reply is not None
    assert reply.error.reason == owner.apps.crash
    owner.apps.crash = ""
    assert counted(owner.send(message(3))) == 2


def test_an_owner_whose_clock_is_a_day_ahead_gives_the_app_a_message_that_is_valid_by_its_clock(tmp_path: Path) -> None:
    owner = Owner(tmp_path, drive_time=time.time() - 86_400.0)
    late = message(ttl=600.0)
    late.metadata.created_at -= 86_410.0  # the aggregator's clock is right: ten seconds ago by Drive's
    reply = owner.send(late)
    assert counted(reply) == 1
    assert owner.apps.messages[0].metadata.created_at == pytest.approx(time.time() - 10.0, abs=5.0)
    assert owner.apps.timeouts[0] == pytest.approx(590.0, abs=5.0)
    assert reply is not None
    assert reply.metadata.ttl > 0


def test_a_stop_is_acknowledged_ends_the_loop_and_forgets_the_run(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.send(message(1))
    stop = message(2, kind="system", action="stop", reason="done")
    stop.content["config"] = ConfigRecord({"action": "stop", "reason": "the run is complete"})
    assert owner.send(stop) is not None
    assert owner.progress.named("stopped") == [{"owner": ME, "reason": "the run is complete"}]
    owner.events.run_forever()  # returns at once
    assert RunStore(tmp_path / "runs").current() is None


@pytest.mark.parametrize("order", [("hello", "stop"), ("stop", "hello"), ("hello", "stop", "hello")])
def test_what_a_run_left_behind_that_was_interrupted_ends_no_owner_that_starts_later(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    left = [message(number, kind="system", action=action) for number, action in enumerate(order)]
    for each in left:
        each.metadata.created_at -= 60.0
    owner = Owner(tmp_path)
    for each in left:
        owner.send(each)
    assert owner.progress.named("stopped") == []
    assert counted(owner.send(message(9, run=8), Stamp(run_started=2000.0))) == 1
    owner.send(message(10, run=8, kind="system", action="stop"), Stamp(run_started=2000.0))
    assert len(owner.progress.named("stopped")) == 1


def test_another_version_of_flower_and_another_state_of_the_project_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path, project_hash="aa" * 32)
    for number in (1, 2):
        owner.send(message(number), Stamp(flwr="1.38.0", project="bb" * 32, run_started=1.0))
    told = [record.getMessage() for record in caplog.records if record.name.startswith("syft_flwr")]
    assert sum("the aggregator runs flwr 1.38.0" in text for text in told) == 1
    assert sum("another state of the project (bbbbbbbbbbbb)" in text for text in told) == 1


def test_what_is_no_flower_message_is_an_error_for_the_transport_to_tell(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    wire = Letter("agg@example.com", ME, "flwr/x", "messages", "f", b"junk").wire()
    with pytest.raises(FlowerError, match="no Flower message"):
        owner.owner.handle(b"junk", wire)
