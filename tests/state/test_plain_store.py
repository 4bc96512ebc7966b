"""The store of replays keeps what the other stores keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.ports import StateStore, Transaction
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.plain import PlainStore

KEYS = st.sampled_from(["a", "a/1", "a/2", "a/10", "b/1", "ab/1"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete"]), KEYS, st.integers()), max_size=8)


class RolledBackError(Exception):
    pass


def apply(store: StateStore, steps: list[tuple[str, str, int]], *, fail: bool) -> None:
    def work(tx: Transaction) -> None:
        for action, key, value in steps:
            if action == "put":
                tx.put(key, {"value": value})
            else:
                tx.delete(key)
        if fail:
            raise RolledBackError

    if fail:
        with pytest.raises(RolledBackError):
            store.transact(work)
    else:
        store.transact(work)


def content(store: StateStore) -> list[object]:
    def work(tx: Transaction) -> list[object]:
        scans = [list(tx.scan(prefix)) for prefix in ("a/", "a/1", "b/", "c/")]
        return [*scans, list(tx.scan("a/", limit=1)), *[tx.get(key) for key in ("a", "a/1", "b/1", "ab/1")]]

    return store.transact(work)


@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=5))
def test_it_holds_what_the_store_in_memory_holds(transactions: list[tuple[list[tuple[str, str, int]], bool]]) -> None:
    plain, twin = PlainStore(), MemoryStore()
    for steps, fail in transactions:
        apply(plain, steps, fail=fail)
        apply(twin, steps, fail=fail)
        assert content(plain) == content(twin)


def test_it_refuses_when_closed() -> None:
    store = PlainStore()
    store.close()
    store.close()
    with pytest.raises(RuntimeClosedError):
        store.transact(lambda tx: tx.get("a"))
