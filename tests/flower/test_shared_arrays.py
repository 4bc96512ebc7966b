"""Arrays that several messages share go to Drive once; whatever becomes of them there, each owner gets its message."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_fakes import Events, FakeDrive, FakeEvents, FakeRpc
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.run import Run

from syft_flwr.errors import DriveUnavailableError, FlowerError
from syft_flwr.exchange.disposables import LARGE
from syft_flwr.flower import file_array
from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.codec import ObjectReference, Stamp, decode, encode, encode_stamp
from syft_flwr.flower.file_array import FileArray
from syft_flwr.flower.grid import FlowerGrid
from syft_flwr.flower.job import Outcome, Task
from syft_flwr.flower.node import node_id
from syft_flwr.flower.owner import DataOwner
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.run_store import RunStore

AGGREGATOR, OWNERS = "agg@example.com", ["do1@example.com", "do2@example.com", "do3@example.com"]
RUN = 11
MODEL = np.random.default_rng(1).random(10_000)


class Apps:
    """Returns the sum of what it was sent, and the order of its records."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def warm_up(self) -> None:
        pass

    def run(self, task: Task, timeout: float) -> Outcome:
        body = b"".join(piece if isinstance(piece, bytes) else piece.read_bytes() for piece in task.message)
        asked, _ = decode(body)
        self.seen.append(list(asked.content))
        total = sum(
            float(array.numpy().sum()) for record in asked.content.array_records.values() for array in record.values()
        )
        reply = Message(RecordDict({"m": MetricRecord({"sum": total})}), reply_to=asked)
        return Outcome(encode(reply), task.context)

    def close(self) -> None:
        pass


class Federation:
    def __init__(self, directory: Path, drive: FakeDrive, *, old: Sequence[str] = ()) -> None:
        self.drive = drive
        self.apps = {owner: Apps() for owner in OWNERS}
        self._events = {owner: FakeEvents(drive, owner) for owner in OWNERS}
        self._threads = []
        for owner, events in self._events.items():
            made = DataOwner(OwnerConfig(owner), events, self.apps[owner], RunStore(directory / owner))
            self._threads.append(threading.Thread(target=made.run_forever))
        set_task_identity(RUN, 1)
        spool = directory / "spool"
        spool.mkdir()
        self.spool = spool
        self.grid = FlowerGrid(FakeRpc(drive, AGGREGATOR), "app", OWNERS, progress=Events(), spool=spool)
        self.grid.set_run(Run.create_empty(RUN))
        for thread in self._threads:
            thread.start()
        self.grid.greet()
        assert self.grid.presence.wait_for(3, 10.0)
        for owner in old:
            self.grid.nodes.learn(node_id(owner), ())

    def train(self, *models: np.ndarray) -> list[float | str]:
        """Send a model to each owner; return the sums that come back, or the reasons of errors."""
        records = {id(model): ArrayRecord({"w": Array(model)}) for model in models}
        messages = [
            Message(
                RecordDict(
                    {"config": ConfigRecord({"a": 1}), "arrays": records[id(model)], "z": ConfigRecord({"b": 2})}
                ),
                node_id(owner),
                "train",
            )
            for owner, model in zip(OWNERS, models, strict=True)
        ]
        replies = list(self.grid.send_and_receive(messages, timeout=20.0))
        return [r.error.reason if r.has_error() else round(float(r.content["m"]["sum"]), 6) for r in replies]  # type: ignore[index,arg-type]

    def close(self) -> None:
        self.grid.close()
        for events in self._events.values():
            events.stop()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def drive() -> FakeDrive:
    return FakeDrive()


@pytest.fixture
def make(tmp_path: Path, drive: FakeDrive) -> Iterator[Callable[..., Federation]]:
    made: list[Federation] = []

    def federation(**options: Sequence[str]) -> Federation:
        made.append(Federation(tmp_path, drive, **options))
        return made[0]

    yield federation
    for each in made:
        each.close()


def total(model: np.ndarray) -> float:
    return round(float(model.sum()), 6)


def test_what_all_get_is_uploaded_once_and_comes_whole_and_in_order(make, drive) -> None:
    federation = make()
    assert federation.train(MODEL, MODEL, MODEL) == [total(MODEL)] * 3
    assert len(drive.objects) == 1
    assert federation.train(MODEL, MODEL, MODEL) == [total(MODEL)] * 3, "also in the next round, without an upload"
    assert len(drive.objects) == 1
    assert {tuple(order) for apps in federation.apps.values() for order in apps.seen} == {("config", "arrays", "z")}
    assert sum(len(body) for body in drive.sent) < 20_000


def test_what_differs_for_each_owner_is_in_its_message(make, drive) -> None:
    models = [MODEL + number for number in range(3)]
    assert make().train(*models) == [total(model) for model in models]
    assert drive.objects == {}


def test_of_three_those_two_that_are_alike_share(make, drive) -> None:
    assert make().train(MODEL + 1, MODEL, MODEL) == [total(MODEL + 1), total(MODEL), total(MODEL)]
    assert len(drive.objects) == 1


def test_an_owner_keeps_what_two_messages_share_and_books_that_it_need_not_fetch_it_again(make, drive) -> None:
    federation = make()
    federation.train(MODEL, MODEL, MODEL)
    assert drive.kept == []
    federation.train(MODEL, MODEL, MODEL)
    assert sorted(owner for owner, _ in drive.kept) == OWNERS
    assert all(size >= MODEL.nbytes for _, size in drive.kept)


def test_an_owner_that_can_not_fetch_gets_the_whole_message_in_the_same_run(make, drive) -> None:
    federation = make(old=[OWNERS[1]])
    assert federation.train(MODEL, MODEL, MODEL) == [total(MODEL)] * 3
    assert len(drive.objects) == 1
    assert max(len(body) for body in drive.sent) > MODEL.nbytes


@pytest.mark.parametrize("harm", ["missing", "altered", "swapped"])
def test_an_object_that_was_harmed_costs_a_message_and_no_round(make, drive, harm: str) -> None:
    federation = make()
    federation.train(MODEL, MODEL, MODEL)
    drive.on_publish = {
        "missing": lambda content: None,
        "altered": lambda content: content[:-1] + b"x",
        "swapped": lambda content: next(iter(drive.objects.values())),
    }[harm]
    assert federation.train(MODEL + 1, MODEL + 1, MODEL + 1) == [total(MODEL + 1)] * 3


def test_when_nothing_can_be_published_all_get_whole_messages(make, drive) -> None:
    def refuse(_: bytes) -> bytes:
        raise DriveUnavailableError("503")

    federation = make()
    drive.on_publish = refuse
    assert federation.train(MODEL, MODEL, MODEL) == [total(MODEL)] * 3
    assert drive.objects == {}


def test_an_owner_whose_disk_is_full_is_sent_its_own_copy(make, drive, tmp_path: Path) -> None:
    federation = make()
    federation.train(MODEL, MODEL, MODEL)
    objects = tmp_path / OWNERS[0] / str(RUN) / "objects"
    for path in objects.iterdir():
        path.unlink()
    objects.rmdir()
    objects.write_bytes(b"")  # nothing can be written there
    assert federation.train(MODEL + 1, MODEL + 1, MODEL + 1) == [total(MODEL + 1)] * 3


def test_large_objects_are_withdrawn_when_no_message_needs_them_and_copies_do_not_pile_up(make, drive) -> None:
    federation = make()
    large = np.random.default_rng(2).random(LARGE // 8 + 1)
    for number in range(5):
        federation.train(*[large + number] * 3)
    assert len(drive.objects) <= 3
    assert len(list(federation.spool.iterdir())) <= 3
    federation.grid.close()
    assert list(federation.spool.iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [
        {},
        [],
        {"index": 0, "sha256": "../../etc/passwd", "size": 1, "file_id": "f"},
        {"index": 0, "sha256": "0" * 64, "size": 0, "file_id": "f"},
        {"index": -1, "sha256": "0" * 64, "size": 1, "file_id": "f"},
        {"index": True, "sha256": "0" * 64, "size": 1, "file_id": "f"},
        {"index": 0, "sha256": "0" * 64, "size": 2**60, "file_id": "f"},
        {"index": 0, "sha256": "0" * 64, "size": 1, "file_id": "f/../g"},
    ],
)
def test_a_reference_that_makes_no_sense_is_refused(raw: Any) -> None:
    body = encode(Message(RecordDict(), node_id(OWNERS[0]), "train")) + encode_stamp(Stamp(objects=[raw]))
    with pytest.raises(FlowerError, match="bad objects"):
        decode(body)


def test_two_objects_in_one_place_are_refused() -> None:
    reference = ObjectReference(0, "0" * 64, 1, "f")
    body = encode(Message(RecordDict(), node_id(OWNERS[0]), "train"), Stamp(objects=(reference, reference)))
    with pytest.raises(FlowerError, match="two objects"):
        decode(body)


def test_arrays_that_lie_in_a_file_are_read_once_to_be_known_and_once_to_be_uploaded(
    make, drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = make()
    record = ArrayRecord({"w": Array(MODEL)})
    monkeypatch.setattr(file_array, "LARGE", 1)
    file_array.park(record, federation.spool)
    reads = []
    data = FileArray.data
    counting = property(lambda array: reads.append(array) or data.__get__(array))
    monkeypatch.setattr(FileArray, "data", counting)
    messages = [Message(RecordDict({"arrays": record}), node_id(owner), "train") for owner in OWNERS]
    assert not [reply.error.reason for reply in federation.grid.send_and_receive(messages) if reply.has_error()]
    assert len(drive.objects) == 1
    ours = [array for array in reads if array is record["w"]]
    assert len(ours) == 2
