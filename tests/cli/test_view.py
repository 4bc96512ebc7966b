from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from syft_flwr.cli.view import Board, Lines, View, bill_table, metrics_table


def console(width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def bill(calls: int) -> dict[str, Any]:
    return {"calls": calls, "units": 100 * calls, "methods": {"changes.list": {"calls": calls, "units": 100 * calls}}}


def test_lines_tell_who_trains_the_round_and_the_metrics() -> None:
    out = console()
    lines = Lines(out)
    lines("round", round=1, of=3)
    lines("working", owner="do1@example.com", type="train", group="1")
    lines("done", owner="do1@example.com", type="train", group="1", seconds=0.25, error="")
    lines("done", owner="do2@example.com", type="train", group="1", seconds=0.25, error="no data")
    lines("metrics", round=1, phase="evaluate", values={"accuracy": 0.91234, "count": 3})
    lines("sent", owner="do1@example.com")
    shown = text(out)
    for words in (
        "round 1 of 3",
        "do1@example.com: train (round 1) done in 0.25 s",
        "do2@example.com: train (round 1) failed: no data",
        "round 1, evaluate: accuracy 0.9123, count 3",
    ):
        assert words in shown
    assert len(shown.splitlines()) == 5


def test_a_wait_tells_who_is_missing_why_and_when_they_were_last_seen() -> None:
    out = console(300)
    missing = {"do2@example.com": "did not answer in time", "do3@example.com": "has not answered the greeting"}
    fields = {"present": ["do1@example.com"], "missing": missing, "needed": 3, "seconds": 75.0, "why": "they train"}
    Lines(out)("waiting", **fields, last_seen={"do2@example.com": 720.0})
    assert (
        "waiting for 75 s: 1 of 3 data owners here; missing do2@example.com (did not answer in time; last seen 12 min "
        "ago), do3@example.com (has not answered the greeting); they train"
    ) in text(out)


def test_the_board_shows_what_everybody_does() -> None:
    board = Board()
    missing = {"do2@example.com": "has not answered the greeting"}
    wait = {"missing": missing, "last_seen": {}, "needed": 2, "seconds": 5.0, "why": "the run starts then"}
    board("waiting", present=["do1@example.com"], **wait)
    board("ready", owner="do1@example.com")
    board("round", round=2, of=3)
    board("working", owner="do2@example.com", type="train", group="2")
    out = console()
    out.print(board.render())
    shown = text(out)
    for words in ("round 2 of 3", "do1@example.com", "ready", "train …"):
        assert words in shown


def test_metrics_of_every_round_and_phase_have_a_column() -> None:
    out = console()
    out.print(metrics_table([{"round": 1, "train": {"loss": 1.5}}, {"round": 2, "evaluate": {"accuracy": 0.5}}]))
    shown = text(out)
    for words in ("loss", "accuracy", "1.5000", "0.5000"):
        assert words in shown


def test_the_bill_has_a_column_for_each_account_and_one_for_many_owners() -> None:
    few = {"do1@example.com": bill(2), "agg@example.com": bill(3)}
    out = console()
    out.print(bill_table(few))
    assert all(words in text(out) for words in ("do1", "agg", "200", "300", "500", "5"))
    many = {f"do{n}@example.com": bill(1) for n in range(20)} | {"agg@example.com": bill(3)}
    out = console()
    out.print(bill_table(many))
    assert all(words in text(out) for words in ("20 owners", "2,000", "2,300", "23"))


def test_a_simulation_without_a_terminal_prints_lines_and_a_summary() -> None:
    out = console()
    result = {
        "rounds": [{"round": 1, "train": {"loss": 1.0}}],
        "bill": {"agg@example.com": bill(1)},
        "wall_seconds": 12.34,
        "directory": "runs/x",
        "arrays": "arrays.npz",
    }
    with View(out) as view:
        view("round", round=1, of=1)
    view.summary(result)
    shown = text(out)
    for words in ("round 1 of 1", "Wall time 12.3 s", "runs/x/result.json", "runs/x/arrays.npz"):
        assert words in shown
