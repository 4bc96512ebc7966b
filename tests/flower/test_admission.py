from __future__ import annotations

import time

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.admission import Action, Situation, decide, run_tag
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.run_store import RunTag

NODE = 42


def message(kind: str = "train", *, run: int = 7, action: str = "", node: int = NODE, ttl: float = 60.0) -> Message:
    set_task_identity(run, 1)
    content = RecordDict({"config": ConfigRecord({"action": action} if action else {"x": 1})})
    return Message(content, node, kind, ttl=ttl)


def stop(run: int = 7) -> Message:
    return message("system", run=run, action="stop")


def situation(run: RunTag | None = None, *, age: float = 1.0, uptime: float = 100.0) -> Situation:
    return Situation(NODE, run, age, uptime, time.time())


RUN = RunTag(7, started=1000.0)


def test_a_message_of_the_run_that_is_served_is_run() -> None:
    assert decide(message(), Stamp(run_started=1000.0), situation(RUN)).action is Action.RUN


def test_the_first_message_decides_which_run_is_served() -> None:
    assert decide(message(), Stamp(run_started=1000.0), situation()).action is Action.RUN
    assert run_tag(message(), Stamp(run_started=1000.0), situation()) == RUN


def test_a_run_that_started_later_takes_over_and_the_older_one_is_refused() -> None:
    assert decide(message(run=8), Stamp(run_started=2000.0), situation(RUN)).action is Action.RUN
    verdict = decide(message(run=6), Stamp(run_started=500.0), situation(RUN))
    assert verdict.action is Action.REFUSE
    assert "belongs to run 6" in verdict.reason


def test_a_message_whose_ttl_is_over_is_not_acted_on() -> None:
    verdict = decide(message(ttl=60.0), Stamp(), situation(age=61.0))
    assert verdict.action is Action.IGNORE
    assert "ttl of 60 s was over 1 s ago" in verdict.reason


def test_a_clock_that_differs_does_not_matter_as_drive_dates_the_message() -> None:
    late = message(ttl=60.0)
    late.metadata.created_at -= 7200.0  # the aggregator's clock is two hours slow
    assert decide(late, Stamp(), situation(age=5.0)).action is Action.RUN


def test_a_stop_ends_the_run_that_is_served_and_no_other() -> None:
    assert decide(stop(), Stamp(), situation(RUN)).action is Action.STOP
    assert decide(stop(run=6), Stamp(), situation(RUN)).action is Action.IGNORE
    assert decide(stop(), Stamp(), situation()).action is Action.IGNORE


@pytest.mark.parametrize(("age", "action"), [(99.0, Action.STOP), (101.0, Action.IGNORE)])
def test_an_owner_follows_a_stop_only_if_it_was_written_since_it_started(age: float, action: Action) -> None:
    assert decide(stop(), Stamp(), situation(RUN, age=age, uptime=100.0)).action is action


def test_a_stop_in_the_form_of_existing_participants_counts() -> None:
    final = message("system")
    final.metadata.group_id = "final"
    assert decide(final, Stamp(), situation(RUN)).action is Action.STOP


def test_the_hello_is_answered_and_unknown_actions_are_refused() -> None:
    assert decide(message("system", action="hello"), Stamp(), situation()).action is Action.GREET
    assert decide(message("system", action="dance"), Stamp(), situation()).action is Action.REFUSE


def test_a_message_for_another_node_or_not_from_an_aggregator_is_refused() -> None:
    assert "this is node 42" in decide(message(node=43), Stamp(), situation()).reason
    foreign = message()
    foreign.metadata.__dict__["_src_node_id"] = 99
    assert decide(foreign, Stamp(), situation()).action is Action.REFUSE
