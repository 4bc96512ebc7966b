from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from reactivex import Subject

from syft_flwr.cli.lines import Filter
from syft_flwr.cli.replay import EventPrinter
from syft_flwr.errors import DriveUnavailableError
from syft_flwr.models import FeedError


class Desk:
    """A printer on streams that a test fills, at a time that it sets."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.now = 1_000_000.0
        streams = {name: Subject() for name in ("messages", "replied", "rejected", "errors", "changes")}
        feed: Any = SimpleNamespace(
            runtime=SimpleNamespace(**streams), time=lambda: self.now, run=lambda: None, stop=lambda: None
        )
        EventPrinter(feed, Filter(None, None, None), kinds=None, count=None, as_json=as_json).play()
        self._errors = streams["errors"]

    def fail(self, where: str, text: str) -> None:
        self._errors.on_next(FeedError(where, DriveUnavailableError(text)))


def test_a_failure_that_goes_on_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    for _ in range(5):
        desk.fail("sweeping", "no answer")
        desk.now += 60.0
    assert len(capsys.readouterr().out.splitlines()) == 1

    desk.fail("sweeping", "another reason")
    desk.fail("polling", "another reason")
    desk.now += 3_600.0
    desk.fail("polling", "another reason")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_programs_that_read_json_get_every_failure(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(as_json=True)
    for _ in range(3):
        desk.fail("sweeping", "no answer")
    assert len(capsys.readouterr().out.splitlines()) == 3
