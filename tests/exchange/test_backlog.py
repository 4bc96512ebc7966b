"""What waits for room in a lane."""

from __future__ import annotations

from syft_flwr.exchange.routes import Backlog


def test_it_is_taken_in_order_the_senders_in_turn() -> None:
    backlog = Backlog()
    for number, sender in ((3, "a"), (1, "a"), (2, "b"), (4, "b")):
        backlog.add(sender, number)
    assert backlog.take(3) == [1, 2, 3]
    assert backlog.has_waiting()


def test_what_was_taken_holds_up_the_later_ones_of_its_sender_until_it_is_placed() -> None:
    backlog = Backlog()
    backlog.add("a", 1)
    assert backlog.take(1) == [1]
    assert backlog.is_before("A", 2)
    assert not backlog.is_before("b", 2)
    backlog.placed("a", 1)
    assert not backlog.is_before("a", 2)


def test_what_another_process_has_finished_meanwhile_holds_up_nothing() -> None:
    backlog = Backlog()
    backlog.add("a", 1)
    backlog.add("b", 2)
    assert backlog.take(2) == [1, 2]
    backlog.settled({1: None}, backlog.takings)
    assert not backlog.is_before("a", 3)
    assert backlog.is_before("b", 3)
    assert backlog.has_any()


def test_a_request_that_is_taken_again_while_it_is_looked_at_still_holds_up_later_ones() -> None:
    backlog = Backlog()
    backlog.add("a", 1)
    backlog.add("a", 2)
    takings = backlog.takings + 1
    assert backlog.take(1) == [1]
    backlog.add("a", 1)  # there was no room after all, and now there is
    assert backlog.take(1) == [1]
    backlog.settled([1], takings)
    assert backlog.is_before("a", 2)
    backlog.settled([1], backlog.takings)
    assert not backlog.is_before("a", 2, beside=[2])
