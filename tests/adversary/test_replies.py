"""What an owner answers can fail for this owner only: the run, the greeting and the other owners go on."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from flower_fakes import Events, FakeDrive, FakeRpc
from flower_federation import Federation, zoo_project
from flwr.common import Code, EvaluateRes, FitIns, FitRes, GetParametersRes, Status, ndarrays_to_parameters
from flwr.compat.common.recorddict_compat import (
    evaluateres_to_recorddict,
    fitins_to_recorddict,
    fitres_to_recorddict,
    getparametersres_to_recorddict,
)
from flwr.serverapp.strategy import FedAvg, FedXgbBagging
from hostile import AGGREGATOR, OTHER, OWNER, RUN, arrays, instruction, pending, trained

from syft_flwr.errors import NotFoundError, PermissionDeniedError, RateLimitedError
from syft_flwr.flower._compat import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MetricRecord,
    RecordDict,
    Run,
)
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.codec import decode, encode
from syft_flwr.flower.grid import FlowerGrid
from syft_flwr.flower.legacy_recorder import LegacyRecorder
from syft_flwr.flower.node import node_id
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.protobuf import write_field
from syft_flwr.flower.recorder import Recorder
from syft_flwr.flower.replies import Pending, read_reply
from syft_flwr.flower.screening import sift
from syft_flwr.flower.strategy_recorder import StrategyRecorder

DEEP = b"[" * 200_000


def npy(array: np.ndarray, *, claims: dict[str, Any] | None = None) -> Array:
    made = Array(array)
    made.__dict__.update(claims or {})
    return made


def header(text: str, data: bytes = b"") -> Array:
    """Return an array whose header is this text."""
    body = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    raw = b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + data
    return Array("float32", (2, 3), "numpy.ndarray", raw)


GARBAGE: dict[str, Callable[[], Array]] = {
    "pickled objects": lambda: Array("object", (1,), "numpy.ndarray", pickled()),
    "a pickle in place of an array": lambda: Array("float32", (2, 3), "numpy.ndarray", b"\x80\x04N."),
    "a zip archive": lambda: Array("float32", (2, 3), "numpy.ndarray", b"PK\x03\x04" + b"\0" * 60),
    "no array at all": lambda: Array("float32", (2, 3), "numpy.ndarray", b"rubbish"),
    "nothing": lambda: Array("float32", (2, 3), "numpy.ndarray", b""),
    "a cut array": lambda: npy(np.zeros((2, 3), np.float32), claims={"data": Array(np.zeros(6)).data[:-1]}),
    "more than there is": lambda: header("{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952, 8)}"),
    "a negative shape": lambda: header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}"),
    "a header nested deep": lambda: header("(" * 9_000),
    "a header that runs code": lambda: header("__import__('os').system('true')"),
    "another shape than it claims": lambda: npy(np.zeros((3, 2), np.float32), claims={"shape": (2, 3)}),
    "another type than it claims": lambda: npy(np.zeros((2, 3), np.float64), claims={"dtype": "float32"}),
}


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([object], dtype=object), allow_pickle=True)
    return file.getvalue()


def answer(content: RecordDict) -> bytes:
    return encode(Message(content, reply_to=instruction()))


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_arrays_are_the_owners_error(kind: str, tmp_path: Path) -> None:
    bad = trained()
    bad["arrays"] = ArrayRecord({"w": GARBAGE[kind]()})
    reply, _ = read_reply(pending(), answer(bad), 0.0, tmp_path)
    assert reply.has_error()
    assert OWNER in reply.error.reason


def test_garbage_in_a_large_reply_is_found_without_loading_it(tmp_path: Path) -> None:
    large = np.zeros(3_000_000, np.float32)
    sent = pending(RecordDict({"arrays": ArrayRecord({"w": Array(large)})}))
    for array, is_good in (
        (Array(large), True),
        (Array("float32", (3_000_000,), "numpy.ndarray", bytes(9_000_000)), False),
    ):
        content = trained()
        content["arrays"] = ArrayRecord({"w": array})
        reply, _ = read_reply(sent, answer(content), 0.0, tmp_path)
        assert reply.has_content() is is_good


@pytest.mark.parametrize("number", [0, -1, math.inf, -math.inf, math.nan, [1, 2]])
def test_a_weight_that_is_no_positive_number_is_the_owners_error(number: Any) -> None:
    reply, _ = read_reply(pending(), answer(trained(**{"num-examples": number})), 0.0)
    assert reply.has_error()
    assert "num-examples" in reply.error.reason


@pytest.mark.parametrize("body", [b"", DEEP, b'{"error":' + DEEP, b"\xff" * 99, b"\x0a\x80\x80\x80\x80\x08", b"null"])
def test_what_is_no_flower_message_is_the_owners_error(body: bytes) -> None:
    reply, _ = read_reply(pending(), body, 0.0)
    assert reply.has_error()
    assert len(reply.error.reason) < 1_000


MEGA = 1024 * 1024
HUGE: dict[str, Callable[[], dict[str, MetricRecord | ConfigRecord]]] = {
    "one record of metrics": lambda: {"all": MetricRecord({"all": [0.5] * (5 * MEGA)})},
    "several records of metrics": lambda: {f"{n}": MetricRecord({"some": [0.5] * (2 * MEGA)}) for n in range(3)},
    "a config of numbers": lambda: {"all": ConfigRecord({"all": [1 << 40] * (6 * MEGA)})},
    "a config of texts": lambda: {"all": ConfigRecord({"all": ["x" * MEGA] * 33})},
    "a config of many keys": lambda: {"all": ConfigRecord({f"{n}": n for n in range(10_001)})},
    "many configs": lambda: {f"{n}": ConfigRecord({"x": 1}) for n in range(10_001)},
    "a list of bytes without end": lambda: {"all": ConfigRecord({"all": [b""] * 10_001})},
}


@pytest.mark.parametrize("kind", HUGE)
def test_metrics_and_configs_that_fill_the_memory_are_the_owners_error(kind: str, tmp_path: Path) -> None:
    huge = RecordDict({"metrics": MetricRecord({"num-examples": 1}), **HUGE[kind]()})
    reply, _ = read_reply(pending(), answer(huge), 0.0, tmp_path)
    assert reply.has_error()
    assert "more than" in reply.error.reason


def test_bytes_in_configs_may_be_as_large_as_a_message() -> None:
    """So the vectors of secure aggregation travel."""
    large = RecordDict({**trained(), "vector": ConfigRecord({"parts": [bytes(20 * MEGA)] * 2, "one": bytes(MEGA)})})
    reply, _ = read_reply(pending(), answer(large), 0.0)
    assert reply.has_content()


def test_a_deep_stamp_is_the_owners_error() -> None:
    reply, _ = read_reply(pending(), answer(trained()) + write_field(45_100, DEEP), 0.0)
    assert reply.has_error()


def test_an_honest_reply_stays_as_it_is() -> None:
    honest = trained()
    reply, _ = read_reply(pending(), answer(honest), 0.0)
    assert reply.content == honest


def legacy_result(array: np.ndarray) -> RecordDict:
    parameters = ndarrays_to_parameters([array])
    return fitres_to_recorddict(FitRes(Status(Code.OK, ""), parameters, 10, {"loss": 0.5}), keep_input=True)


def test_a_legacy_result_is_checked_as_far_as_flower_would_raise() -> None:
    ins = FitIns(ndarrays_to_parameters([np.zeros((2, 3))]), {})
    sent = pending(fitins_to_recorddict(ins, keep_input=True))
    good, _ = read_reply(sent, answer(legacy_result(np.ones((2, 3)))), 0.0)
    assert good.has_content()
    other_shape = legacy_result(np.ones((3, 3)))
    no_status, no_count, no_parameters = (legacy_result(np.ones((2, 3))) for _ in range(3))
    del no_status["fitres.status"]
    no_count["fitres.num_examples"] = MetricRecord({"num_examples": math.nan})
    del no_parameters["fitres.parameters"]
    bad_code = legacy_result(np.ones((2, 3)))
    bad_code["fitres.status"] = ConfigRecord({"code": 99, "message": ""})
    lists = legacy_result(np.ones((2, 3)))
    lists["fitres.metrics"] = ConfigRecord({"loss": [1.0]})
    for bad in (other_shape, no_status, no_count, no_parameters, bad_code, lists, RecordDict()):
        reply, _ = read_reply(sent, answer(bad), 0.0)
        assert reply.has_error(), bad


def test_trees_are_flat_arrays_of_bytes_that_may_have_any_length() -> None:
    def trees(size: int) -> RecordDict:
        content = trained()
        content["arrays"] = ArrayRecord({"0": Array(np.zeros(size, np.uint8))})
        return content

    sent = pending(trees(10))
    replies = [read_reply(sent, answer(trees(size)), 0.0)[0] for size in (11, 12, 13)]
    kept = sift(replies, with_arrays=True, weight="num-examples", asked=sent.asked, refuse=lambda *_: pytest.fail("no"))
    assert [reply.content for reply in kept] == [trees(size) for size in (11, 12, 13)]


def test_an_array_that_numpy_does_not_read_is_odd_among_those_that_it_reads() -> None:
    def trees(kind: str) -> RecordDict:
        content = trained()
        content["arrays"] = ArrayRecord({"0": npy(np.zeros(9, np.uint8), claims={"stype": kind})})
        return content

    sent = pending(trees("numpy.ndarray"))
    replies = [read_reply(sent, answer(trees(kind)), 0.0)[0] for kind in ("evil", "numpy.ndarray")]
    kept = sift(replies, with_arrays=True, weight="num-examples", asked=sent.asked, refuse=lambda *_: None)
    assert [reply.has_content() for reply in kept] == [False, True]


def test_of_two_replies_that_do_not_go_together_the_one_like_the_instruction_counts() -> None:
    other = trained()
    other["arrays"] = ArrayRecord({"w": Array(np.zeros((9, 9)))})
    sent = pending()
    replies = [read_reply(sent, answer(content), 0.0)[0] for content in (other, trained())]
    refused: list[Message] = []
    kept = sift(
        replies,
        with_arrays=True,
        weight="num-examples",
        asked=sent.asked,
        refuse=lambda reply, _: refused.append(reply),
    )
    assert [reply.has_content() for reply in kept] == [False, True]
    assert refused == [replies[0]]


def test_arrays_that_answer_no_array_of_the_instruction_may_have_any_shape() -> None:
    content = RecordDict({"own": ArrayRecord({"gradient": Array(np.zeros((9, 9)))})})
    reply, _ = read_reply(pending(), answer(content), 0.0)
    assert reply.has_content()


class RefusingRpc(FakeRpc):
    """A transport that can't fetch the replies of one owner."""

    def __init__(self, drive: FakeDrive, error: Exception) -> None:
        super().__init__(drive, AGGREGATOR)
        self.error = error
        self.mine: set[str] = set()

    def send(self, to_email: str, *args: Any, **options: Any) -> str:
        future = super().send(to_email, *args, **options)
        if to_email == OWNER:
            self.mine.add(future)
        return future

    def get_response(self, future_id: str) -> bytes | None:
        if future_id in self.mine:
            raise self.error
        return super().get_response(future_id)


@pytest.mark.parametrize("error", [NotFoundError("gone", status=404), PermissionDeniedError("no", status=403)])
def test_a_reply_that_cannot_be_had_is_its_owners_error_alone(error: Exception) -> None:
    drive, events = FakeDrive(), Events()
    grid = FlowerGrid(RefusingRpc(drive, error), "digits", [OWNER, OTHER], progress=events)
    instruction()
    grid.set_run(Run.create_empty(RUN))
    messages = [Message(arrays(), node_id(owner), "train", ttl=30) for owner in (OWNER, OTHER)]
    ids = list(grid.push_messages(messages))
    for owner in (OWNER, OTHER):
        letter = drive.wait_for_request(owner)
        drive.answer(letter.future_id, encode(Message(trained(), reply_to=decode(letter.body)[0])))
    first, second = grid.pull_messages(ids)
    assert first.has_error()
    assert second.has_content()
    assert [e["owner"] for e in events.named("reply") if e["error"]] == [OWNER]
    grid.close()


def test_the_greeting_of_one_owner_fails_for_this_owner_alone() -> None:
    drive, events = FakeDrive(), Events()
    grid = FlowerGrid(RefusingRpc(drive, PermissionDeniedError("no", status=403)), "x", [OWNER, OTHER], progress=events)
    instruction()
    grid.set_run(Run.create_empty(RUN))
    grid.greet()
    for owner, body in ((OWNER, b"x"), (OTHER, DEEP)):
        drive.answer(drive.wait_for_request(owner).future_id, body)
    assert grid.presence.wait_for(1, 10.0)
    assert list(grid.get_node_ids()) == [node_id(OTHER)]
    grid.close()


def hostile_owner(drive: FakeDrive, make: Callable[[Message], RecordDict]) -> Callable[[], None]:
    """Answer each instruction to ``do1`` with what ``make`` makes of it; return what ends it."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            with drive.changed:
                drive.changed.wait_for(lambda: ended.is_set() or drive.requests.get(OWNER), 0.5)
                letter = drive.requests[OWNER].pop(0) if drive.requests.get(OWNER) else None
            if letter is None:
                continue
            asked, _ = decode(letter.body)
            content = RecordDict() if asked.metadata.message_type == "system" else make(asked)
            drive.answer(letter.future_id, encode(Message(content, reply_to=asked)))

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        ended.set()
        with drive.changed:
            drive.changed.notify_all()
        thread.join(10)

    return end


def with_hostile_owner(
    server: str, client: str, make: Callable[[Message], RecordDict], directory: Path
) -> tuple[Aggregation, Events]:
    """Run a round with two honest owners and one that answers what ``make`` returns."""
    drive, events = FakeDrive(), Events()
    project = FlowerProject.load(zoo_project(directory, server, client, rounds=1))
    federation = Federation(drive, project, directory / "owners", 3)
    for number in (1, 2):
        federation.start_owner(number, federation.emails[number])
    end = hostile_owner(drive, make)
    try:
        plan = RunPlan(tuple(federation.emails), {}, directory / "out", patience=30.0, farewell=5.0)
        aggregation = Aggregation(project, plan, events)
        aggregation.run(FakeRpc(drive, AGGREGATOR))
    finally:
        end()
        federation.close()
    return aggregation, events


def content_of(asked: Message, arrays: dict[str, Any] | None = None, **metrics: Any) -> RecordDict:
    mean = ArrayRecord({"mean": Array(np.zeros(4))} if arrays is None else arrays)
    content = RecordDict({"metrics": MetricRecord({"num-examples": 20, "distance": 1.0, **metrics})})
    if asked.metadata.message_type == "train":
        content["arrays"] = mean
    return content


@pytest.mark.parametrize(
    "make",
    [
        lambda asked: RecordDict(),
        lambda asked: RecordDict({"config": ConfigRecord({"x": 1})}),
        lambda asked: content_of(asked, {"other": Array(np.zeros(4))}),
        lambda asked: content_of(asked, {"mean": Array(np.zeros(5))}),
        lambda asked: content_of(asked, {"mean": Array(np.array(["a"] * 4))}),
        lambda asked: content_of(asked, {"mean": Array(np.zeros(4, "datetime64[s]"))}),
        lambda asked: content_of(asked, {"mean": Array(np.zeros(4, [("a", "<f4"), ("b", "<i8")]))}),
        lambda asked: content_of(asked, {"mean": Array(np.zeros(4, complex))}),
        lambda asked: content_of(asked, {"mean": Array(np.zeros(4, "S3"))}),
        lambda asked: content_of(asked, planted=1.0),
        lambda asked: content_of(asked, distance=[1.0, 2.0]),
    ],
    ids=[
        *("nothing", "no metrics", "other keys", "other shapes", "letters", "dates", "structures", "complex numbers"),
        *("bytes", "another metric", "lists"),
    ],
)
def test_a_round_goes_on_without_the_owner_that_answers_rubbish(
    make: Callable[[Message], RecordDict], tmp_path: Path
) -> None:
    aggregation, _ = with_hostile_owner("fedavg", "plain", make, tmp_path)
    assert set(aggregation.result()["rounds"][0]) >= {"round", "evaluate"}
    named = {row["owner"] for row in aggregation.result()["timeline"] if row["error"]}
    assert named == {OWNER}


def tree(weight: float) -> bytes:
    """Return a model of one tree, as XGBoost writes it for a strategy to bag."""
    rows = xgboost.DMatrix(np.arange(8.0).reshape(4, 2), label=np.array([0.0, 1.0, 0.0, weight]))
    return bytes(xgboost.train({"max_depth": 1}, rows, num_boost_round=1).save_raw("json"))


@pytest.mark.parametrize("rubbish", [b"rubbish", b"{", b"{}", b"[1, 2]", b'{"learner": 7}', DEEP])
@pytest.mark.parametrize("round_number", [1, 2])
def test_a_strategy_that_reads_bytes_goes_on_without_the_owner_whose_bytes_it_cannot_read(
    rubbish: bytes, round_number: int
) -> None:
    refused: list[tuple[int, str]] = []
    strategy, recorder = FedXgbBagging(), Recorder()
    strategy.current_bst = b"" if round_number == 1 else tree(3.0)
    replies = [
        Message(content_of(sent, {"0": Array(np.frombuffer(raw, np.uint8))}), reply_to=sent)
        for raw, sent in zip((tree(1.0), rubbish, tree(2.0)), (instruction() for _ in range(3)), strict=True)
    ]
    with recorder.watching(on_refused=lambda node, why: refused.append((node, why))):
        StrategyRecorder(recorder, None)._watch(strategy, 3)
        arrays, _ = strategy.aggregate_train(round_number, replies)
    booster = xgboost.Booster()
    booster.load_model(bytearray(arrays["0"].numpy().tobytes()))
    assert len(booster.get_dump()) == round_number + 1
    assert len(refused) == 1
    assert "can't use it" in refused[0][1]


def legacy_answer(asked: Message, *, metric: str) -> RecordDict:
    ok = Status(Code.OK, "")
    if asked.metadata.message_type == "train":
        parameters = ndarrays_to_parameters([np.zeros(4)])
        return fitres_to_recorddict(FitRes(ok, parameters, 20, {metric: 1.0}), keep_input=True)
    return evaluateres_to_recorddict(EvaluateRes(ok, 0.5, 20, {"top": 1.0}))


@pytest.mark.parametrize(("metric", "refused"), [("distance", set()), ("another", {OWNER})])
def test_a_round_of_the_legacy_api_goes_on_without_the_owner_whose_metrics_the_app_cannot_read(
    metric: str, refused: set[str], tmp_path: Path
) -> None:
    aggregation, events = with_hostile_owner(
        "legacy", "legacy", lambda asked: legacy_answer(asked, metric=metric), tmp_path
    )
    assert set(aggregation.result()["rounds"][0]) >= {"round", "train", "evaluate"}
    assert {event["owner"] for event in events.named("refused")} == refused


@pytest.mark.parametrize("answers", [{}, {"pk1": b"rubbish", "pk2": b"rubbish"}])
def test_a_run_of_secure_aggregation_comes_to_its_end_whatever_one_owner_answers(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    aggregation, events = with_hostile_owner(
        "secret", "secret", lambda asked: RecordDict({"secaggplus_configs": ConfigRecord(answers)}), tmp_path
    )
    assert {event["owner"] for event in events.named("refused")} == {OWNER}
    assert set(aggregation.result()["rounds"][0]) >= {"round", "evaluate"}
    assert {row["owner"] for row in aggregation.result()["timeline"] if row["error"]} == {OWNER}


def test_first_parameters_that_are_none_are_the_owners_error_and_another_is_asked() -> None:
    asked = instruction(RecordDict({"getparametersins.config": ConfigRecord()}), kind="get_parameters")
    now = time.time()
    sent = Pending(asked.metadata.message_id, asked, OWNER, "0", 0, now, now + asked.metadata.ttl, "future")
    for content in (RecordDict(), trained()):
        reply, _ = read_reply(sent, encode(Message(content, reply_to=asked)), 0.0)
        assert reply.has_error()
    good = getparametersres_to_recorddict(
        GetParametersRes(Status(Code.OK, ""), ndarrays_to_parameters([np.zeros(4)])), keep_input=True
    )
    reply, _ = read_reply(sent, encode(Message(good, reply_to=asked)), 0.0)
    assert reply.has_content()

    lots = iter([ValueError("an Error"), KeyError("getparametersres.parameters"), "parameters"])

    def ask(_server: object, **_: Any) -> str:
        drawn = next(lots)
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    assert LegacyRecorder(Recorder()).wrap_initial(ask)(None, server_round=0, timeout=None) == "parameters"


def test_what_a_strategy_raises_over_no_single_reply_is_raised() -> None:
    class Broken(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            raise ZeroDivisionError("its own fault")

    strategy, recorder = Broken(), Recorder()
    StrategyRecorder(recorder, None)._watch(strategy, 3)
    with pytest.raises(ZeroDivisionError):
        strategy.aggregate_train(1, [instruction(content_of(instruction())) for _ in range(3)])


def test_a_transient_refusal_is_waited_out() -> None:
    drive = FakeDrive()
    rpc = RefusingRpc(drive, RateLimitedError("slow down", status=429))
    grid = FlowerGrid(rpc, "digits", [OWNER])
    instruction()
    grid.set_run(Run.create_empty(RUN))
    ids = list(grid.push_messages([Message(arrays(), node_id(OWNER), "train", ttl=30)]))
    letter = drive.wait_for_request(OWNER)
    drive.answer(letter.future_id, encode(Message(trained(), reply_to=decode(letter.body)[0])))
    assert list(grid.pull_messages(ids)) == []
    rpc.mine.clear()
    assert next(iter(grid.pull_messages(ids))).has_content()
    grid.close()


def test_json_error_replies_of_the_transport_are_told() -> None:
    reply, _ = read_reply(pending(), json.dumps({"error": "ValueError: no"}).encode(), 0.0)
    assert reply.error.reason == "ValueError: no"
