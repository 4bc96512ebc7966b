"""What every store keeps, whether on disk or in memory."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syft_flwr.errors import RuntimeClosedError, StateError
from syft_flwr.ports import StateStore
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore


def memory(_: Path) -> MemoryStore:
    return MemoryStore()


def memory_without_copies(_: Path) -> MemoryStore:
    return MemoryStore(copies=False)


def disk(directory: Path) -> DiskStore:
    return DiskStore(directory / "state")


@pytest.fixture(params=[disk, memory, memory_without_copies])
def store(request, tmp_path):
    opened = request.param(tmp_path)
    yield opened
    opened.close()


every_store_that_copies = pytest.mark.parametrize("store", [disk, memory], indirect=True)


def put(store: StateStore, **rows: object) -> None:
    def work(tx):
        for key, value in rows.items():
            tx.put(key, value)

    store.transact(work)


def everything(store: StateStore) -> list[tuple[str, object]]:
    return store.transact(lambda tx: list(tx.scan("")))


def test_what_one_transaction_puts_the_next_one_gets(store):
    put(store, cursor={"token": "17", "at": 1.5, "ok": True, "none": None, "list": [1, "ä"]})

    assert store.transact(lambda tx: tx.get("cursor")) == {
        "token": "17",
        "at": 1.5,
        "ok": True,
        "none": None,
        "list": [1, "ä"],
    }


def test_an_absent_key_is_none_and_deleting_it_is_no_error(store):
    store.transact(lambda tx: tx.delete("absent"))

    assert store.transact(lambda tx: tx.get("absent")) is None


def test_a_transaction_returns_what_its_work_returns(store):
    assert store.transact(lambda _: ("any", object)) == ("any", object)


def test_a_transaction_sees_its_own_writes(store):
    put(store, a=1, b=2)

    def work(tx):
        tx.put("a", 10)
        tx.delete("b")
        tx.put("c", 3)
        return tx.get("a"), tx.get("b"), list(tx.scan(""))

    assert store.transact(work) == (10, None, [("a", 10), ("c", 3)])


def test_a_transaction_that_raises_keeps_nothing(store):
    put(store, a=1, b=2)

    def work(tx):
        tx.put("a", 10)
        tx.put("a", 11)
        tx.delete("b")
        tx.put("c", 3)
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        store.transact(work)

    assert everything(store) == [("a", 1), ("b", 2)]


def test_even_an_exit_in_a_transaction_undoes_it_and_the_store_lives_on(store):
    def work(tx):
        tx.put("a", 1)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        store.transact(work)

    put(store, b=2)
    assert everything(store) == [("b", 2)]


def test_a_scan_yields_the_keys_of_a_prefix_in_order_of_their_bytes(store):
    keys = ["inbox/z", "inbox/a", "inbox/ä", "inbox/\U0001f600", "inbox/\uffff", "inbox", "inbox0", "inbo", "own/a", ""]
    put(store, **{key: key for key in keys})

    found = store.transact(lambda tx: list(tx.scan("inbox/")))

    assert [key for key, _ in found] == ["inbox/a", "inbox/z", "inbox/ä", "inbox/\uffff", "inbox/\U0001f600"]
    assert all(key == value for key, value in found)


def test_a_scan_stops_at_its_limit(store):
    put(store, **{f"k/{n}": n for n in range(5)})

    assert store.transact(lambda tx: list(tx.scan("k/", limit=2))) == [("k/0", 0), ("k/1", 1)]
    assert store.transact(lambda tx: list(tx.scan("k/", limit=0))) == []


def test_a_scan_goes_on_behind_a_key_whether_that_is_there_or_not(store):
    put(store, **dict.fromkeys(("j/9", "k/1", "k/2", "k/4", "k/5", "l/1")))

    def after(key: str, limit: int | None = None) -> list[str]:
        return store.transact(lambda tx: [found for found, _ in tx.scan("k/", after=key, limit=limit)])

    assert after("k/2") == after("k/3") == ["k/4", "k/5"]
    assert after("k/2", limit=1) == ["k/4"]
    assert after("k/5") == after("l/1") == []
    assert after("j/0") == after("") == ["k/1", "k/2", "k/4", "k/5"]
    assert after("j/0", limit=1) == ["k/1"]


def test_rows_may_be_deleted_and_added_during_a_scan(store):
    put(store, **{f"k/{n}": n for n in range(5)})

    def work(tx):
        for key, value in tx.scan("k/"):
            tx.delete(key)
            tx.put(f"k/{value + 10}", value)

    store.transact(work)

    assert everything(store) == [(f"k/{n + 10}", n) for n in range(5)]


@pytest.mark.parametrize("key", [b"bytes", 7, None, ("a",)])
def test_a_key_that_is_no_text_is_refused(store, key):
    for operation in (lambda tx: tx.get(key), lambda tx: tx.put(key, 1), lambda tx: tx.delete(key)):
        with pytest.raises(TypeError):
            store.transact(operation)


@every_store_that_copies
@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), Path("x")])
def test_a_value_that_json_does_not_have_is_refused(store, value):
    with pytest.raises(TypeError):
        store.transact(lambda tx: tx.put("key", value))
    with pytest.raises(ValueError, match="JSON"):
        store.transact(lambda tx: tx.put("key", float("nan")))


@every_store_that_copies
def test_what_is_got_is_a_copy_that_changes_nothing_in_the_store(store):
    value = {"list": [1]}
    put(store, key=value)
    value["list"].append(2)
    store.transact(lambda tx: tx.get("key"))["list"].append(3)

    assert store.transact(lambda tx: tx.get("key")) == {"list": [1]}


def test_a_transaction_within_a_transaction_is_an_error_and_no_deadlock(store):
    def work(tx):
        tx.put("a", 1)
        store.transact(lambda inner: inner.put("b", 2))

    with pytest.raises(RuntimeError, match="inside a transaction"):
        store.transact(work)

    assert everything(store) == []


def test_a_transaction_is_of_no_use_once_it_is_over(store):
    tx = store.transact(lambda tx: tx)

    for operation in (
        lambda: tx.get("a"),
        lambda: tx.put("a", 1),
        lambda: tx.delete("a"),
        lambda: tx.scan(""),
    ):
        with pytest.raises(StateError, match="over"):
            operation()


def test_a_transaction_is_of_no_use_to_another_thread(store):
    def work(tx):
        errors = []

        def use():
            for operation in (lambda: tx.get("a"), lambda: tx.put("a", 1), lambda: tx.scan("")):
                try:
                    operation()
                except StateError as error:
                    errors.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join(30)
        tx.put("b", 1)
        return errors

    assert store.transact(work) == ["a transaction is for the thread on which its work runs"] * 3
    assert everything(store) == [("b", 1)]


def test_a_closed_store_refuses_and_closing_twice_is_fine(store):
    store.close()
    store.close()

    with pytest.raises(RuntimeClosedError):
        store.transact(lambda tx: tx.get("a"))


def test_a_store_closed_from_inside_a_transaction_keeps_that_transaction(store):
    def work(tx):
        store.close()
        tx.put("a", 1)
        return "kept"

    assert store.transact(work) == "kept"
    with pytest.raises(RuntimeClosedError):
        store.transact(lambda tx: tx.get("a"))


def test_increments_from_many_threads_are_all_counted(store):
    def add_one(tx):
        tx.put("count", (tx.get("count") or 0) + 1)

    def storm():
        for _ in range(25):
            store.transact(add_one)

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert store.transact(lambda tx: tx.get("count")) == 200


def test_among_many_threads_each_failing_transaction_is_undone_alone(store):
    def work(number):
        def attempt(tx):
            tx.put(f"k/{number:03}", number)
            tx.put("last", number)
            if number % 3 == 0:
                raise LookupError(number)
            return number

        return attempt

    outcomes = {}

    def storm(first):
        for number in range(first, 120, 8):
            try:
                outcomes[number] = store.transact(work(number))
            except LookupError as error:
                outcomes[number] = error.args[0]

    threads = [threading.Thread(target=storm, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert outcomes == {number: number for number in range(120)}
    kept = store.transact(lambda tx: [value for _, value in tx.scan("k/")])
    assert kept == [number for number in range(120) if number % 3]
    assert store.transact(lambda tx: tx.get("last")) % 3


ANY_KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4)
KEYS = ANY_KEYS | st.text(alphabet="ab/\x00\ud7ff\ue000\uffff\U0010ffff", max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
STEPS = st.lists(
    st.tuples(st.just("put"), KEYS, VALUES)
    | st.tuples(st.just("delete"), KEYS)
    | st.tuples(st.just("get"), KEYS)
    | st.tuples(st.just("scan"), KEYS, st.none() | KEYS, st.none() | st.integers(0, 3)),
    max_size=8,
)


class Machine(RuleBasedStateMachine):
    """Transactions of any steps, some failing, against a dict."""

    store: StateStore

    def __init__(self):
        super().__init__()
        self.model = {}

    @rule(steps=STEPS, fails=st.booleans())
    def transact(self, steps, fails):
        model = dict(self.model)

        def work(tx):
            for step, *arguments in steps:
                getattr(self, f"_{step}")(tx, model, *arguments)
            if fails:
                raise LookupError

        try:
            self.store.transact(work)
        except LookupError:
            assert fails
        else:
            assert not fails
            self.model = model

    def _put(self, tx, model, key, value):
        tx.put(key, value)
        model[key] = json.loads(json.dumps(value))

    def _delete(self, tx, model, key):
        tx.delete(key)
        model.pop(key, None)

    def _get(self, tx, model, key):
        assert tx.get(key) == model.get(key)

    def _scan(self, tx, model, prefix, after, limit):
        expected = sorted(
            (k for k in model if k.startswith(prefix) and (after is None or k.encode() > after.encode())),
            key=str.encode,
        )
        assert list(tx.scan(prefix, after=after, limit=limit)) == [(k, model[k]) for k in expected[:limit]]

    @invariant()
    def the_store_holds_what_the_model_holds(self):
        assert dict(everything(self.store)) == self.model


class MemoryMachine(Machine):
    @initialize()
    def open(self):
        self.store = MemoryStore()


class PlainMemoryMachine(Machine):
    @initialize()
    def open(self):
        self.store = MemoryStore(copies=False)


class DiskMachine(Machine):
    @initialize()
    def open(self):
        self.directory = tempfile.TemporaryDirectory()
        self.store = DiskStore(Path(self.directory.name) / "state")

    @precondition(lambda self: self.model)
    @rule()
    def reopen(self):
        self.store.close()
        self.store = DiskStore(Path(self.directory.name) / "state")
        assert self.store.recovered is None

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.directory.cleanup()


MACHINE_SETTINGS = settings(max_examples=20, stateful_step_count=10, deadline=None)
TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = MACHINE_SETTINGS
TestPlainMemoryMachine = PlainMemoryMachine.TestCase
TestPlainMemoryMachine.settings = MACHINE_SETTINGS
TestDiskMachine = DiskMachine.TestCase
TestDiskMachine.settings = MACHINE_SETTINGS


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(KEYS, max_size=12), prefix=KEYS)
def test_a_scan_finds_exactly_the_keys_with_its_prefix_whatever_their_characters(store, keys, prefix):
    def work(tx):
        for key, _ in tx.scan(""):
            tx.delete(key)
        for key in keys:
            tx.put(key, None)
        return [key for key, _ in tx.scan(prefix)]

    assert store.transact(work) == sorted(key for key in keys if key.startswith(prefix))
