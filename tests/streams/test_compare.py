"""Old recordings on today's code: the corpus decides as ever, and each seeded defect is named by its first decision."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.drive.folders import Location
from syft_flwr.drive.identities import Identities
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responder import Responder
from syft_flwr.exchange.synchronous import SynchronousLane
from syft_flwr.exchange.work import Work
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.recording import Recording, read_recording
from syft_flwr.resources import DriveFile
from syft_flwr.testing.regression import compare
from syft_flwr.wire import InboxPath

RECORDINGS = Path(__file__).parents[1] / "recordings"
CORPUS = sorted(RECORDINGS.rglob("*.jsonl"))
COMPLETE, TOMBSTONES = RECORDINGS / "complete.jsonl", RECORDINGS / "tombstones.jsonl"


def thanks(body: bytes) -> bytes:
    """Answer as the owner of the corpus did."""
    return b"thanks for " + hashlib.sha256(body).hexdigest()[:8].encode()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: str(path.relative_to(RECORDINGS)))
def test_the_corpus_is_admitted_ordered_and_answered_as_it_was(path: Path) -> None:
    result = compare(read_recording(path), thanks)
    assert result.differences == []
    assert result.replies > 2
    assert compare(read_recording(path)).differences == []


def refuses_b(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    admit = Parts.admit

    def strict(self: Parts, *arguments: Any) -> Any:
        verdict = admit(self, *arguments)
        if isinstance(verdict, Message) and verdict.sender.startswith("b@"):
            return Rejection.of(RejectionReason.TOO_LARGE, verdict, "over the limit")
        return verdict

    patch.setattr(Parts, "admit", strict)
    return thanks


def lets_forgers_in(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for question in ("vouch_for", "owns", "changed_last"):
        patch.setattr(Identities, question, lambda *_: True)
    return thanks


def loses_what_c_sends(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    admit = Parts.admit

    def forgetful(self: Parts, file: DriveFile, location: Location) -> Any:
        return None if location.inbox.sender.startswith("c@") else admit(self, file, location)

    patch.setattr(Parts, "admit", forgetful)
    return thanks


def turns_the_order_round(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    offer, waiting = SynchronousLane.offer, dict[SynchronousLane, Work]()

    def swapping(self: SynchronousLane, work: Work) -> bool:
        if (first := waiting.pop(self, None)) is None:
            waiting[self] = work
            return True
        return offer(self, work) and offer(self, first)

    patch.setattr(SynchronousLane, "offer", swapping)
    return thanks


def answers_twice(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    write = Parts.write

    def twice(self: Parts, *arguments: Any, **named: Any) -> None:
        for _ in range(2):
            write(self, *arguments, **named)

    patch.setattr(Parts, "write", twice)
    return thanks


def answers_all_where_the_first_is_answered(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    deliver, paths = InboxMaker.deliver, list[InboxPath]()

    def astray(self: InboxMaker, path: InboxPath, **named: Any) -> str:
        paths.append(path)
        return deliver(self, paths[0], **named)

    patch.setattr(InboxMaker, "deliver", astray)
    return thanks


def answers_at_another_endpoint(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    deliver = InboxMaker.deliver

    def astray(self: InboxMaker, path: InboxPath, **named: Any) -> str:
        return deliver(self, path._replace(endpoint="others"), **named)

    patch.setattr(InboxMaker, "deliver", astray)
    return thanks


def loses_the_mark_of_errors(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    run = Responder._run

    def marked(self: Responder, work: Any) -> Any:
        return replace(run(self, work), is_error=True)

    patch.setattr(Responder, "_run", marked)
    return thanks


def cuts_answers(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    write = Parts.write

    def cut(self: Parts, file_id: str, name: str, folder: str, body: bytes, **named: Any) -> None:
        write(self, file_id, name, folder, body[:16], **named)

    patch.setattr(Parts, "write", cut)
    return thanks


def handler_breaks_on_the_third(_: pytest.MonkeyPatch) -> Callable[..., Any]:
    calls = itertools.count(1)

    def handler(body: bytes) -> bytes:
        if next(calls) == 3:
            raise ZeroDivisionError("division by zero")
        return thanks(body)

    return handler


def handler_keeps_silent_to_digits(_: pytest.MonkeyPatch) -> Callable[..., Any]:
    return lambda body: None if b"pixels" in body else thanks(body)


def handler_changes_a_byte(_: pytest.MonkeyPatch) -> Callable[..., Any]:
    return lambda body: thanks(body).replace(b"thanks", b"Thanks") if b"round 2" in body else thanks(body)


@pytest.mark.parametrize(
    ("defect", "path", "told"),
    [
        (refuses_b, COMPLETE, "was admitted then; now it is not: too_large: over the limit"),
        (lets_forgers_in, COMPLETE, "6f9619ff-8b86-4011-b42d-00c04fc964ff.request from a@.* was passed over then"),
        (loses_what_c_sends, TOMBSTONES, "was admitted then; now it is not: it does not come at all"),
        (turns_the_order_round, TOMBSTONES, "was answered then; now .* is, before it"),
        (answers_twice, COMPLETE, "was answered once; now it is 2 times"),
        (
            answers_all_where_the_first_is_answered,
            COMPLETE,
            "went to .*/digits/updates then; now it goes to .*/diabetes/",
        ),
        (answers_at_another_endpoint, COMPLETE, "went to .*/updates then; now it goes to .*/others"),
        (loses_the_mark_of_errors, COMPLETE, "properties {'status': 'error'}, expected {}"),
        (cuts_answers, COMPLETE, "bodies of 16 and 19 bytes differ from byte 16 on"),
        (handler_breaks_on_the_third, COMPLETE, "ZeroDivisionError"),
        (handler_keeps_silent_to_digits, COMPLETE, "was answered then; now it is not"),
        (handler_changes_a_byte, COMPLETE, "differ from byte 0 on\n .*'Thanks"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_defect_is_named_by_the_first_decision_that_differs(
    monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], Any], path: Path, told: str
) -> None:
    recording = read_recording(path)
    [first, *others] = compare(recording, defect(monkeypatch)).differences
    assert re.search(told, first.what, re.DOTALL), first.what
    assert all(first.line <= other.line for other in others)
    assert 1 < first.line < len(recording.entries)


@pytest.mark.parametrize(("handler", "count"), [(thanks, 0), (lambda _: b"no", 7)])
def test_handlers_that_are_registered_answer_for_their_app_alone(handler: Callable[[bytes], bytes], count: int) -> None:
    events = P2PFileEvents("flwr/diabetes", "owner@example.com")
    events.on_request("updates", handler)
    result = compare(read_recording(COMPLETE), events)
    assert len(result.differences) == count
    assert result.replies == 7


def test_answers_without_bodies_can_t_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    text = COMPLETE.read_text().replace('"bodies":true', '"bodies":false', 1)
    path.write_text(re.sub('"sha256":"[0-9a-f]+"', '"sha256":null', text))
    with pytest.raises(RecordingError, match="leave --handler out"):
        compare(read_recording(path), thanks)
    assert compare(read_recording(path)).differences == []


def test_answers_that_overtook_each_other_on_their_way_up_are_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    lines = TOMBSTONES.read_text().splitlines()
    first, second = (number for number, line in enumerate(lines) if '"upload":' in line and number < 13)
    (one, _), (other, _) = (lines[number].split(',"upload"') for number in (first, second))
    lines[first], lines[second] = lines[second].replace(other, one), lines[first].replace(one, other)
    path.write_text("\n".join(lines) + "\n")
    (tmp_path / "feed.jsonl.bodies").symlink_to(f"{TOMBSTONES}.bodies")
    assert compare(read_recording(path), thanks).differences == []


def test_a_request_that_came_last_may_have_been_taken_after_the_recording() -> None:
    built = Recording.build("owner@example.com").request("ann@example.org", "flwr/app", "messages", b"late")
    assert compare(built.recording(), thanks).differences == []


def command(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(app, ["replay", str(COMPLETE), *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_names_the_first_difference_and_exits_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old_handlers.py").write_text("def answer(body):\n    return b'thanks'\n")
    assert "the same: 9 messages, answers were not compared" in command("--compare", code=0)
    said = command("--compare", "--handler", "old_handlers:answer", code=1)
    assert f"{COMPLETE}: line 7: the answer to 19531d2a-8e54-434f-930f-9ae2d0857684: bodies of 6 and 19 bytes" in said
    assert "8 more differ" in said
    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert "the same: 9 messages, 9 answers" in command("--compare", "--handler", f"{__name__}:thanks", code=0)
    assert "can't import the handler nowhere:x" in command("--compare", "--handler", "nowhere:x", code=1)
    command("--handler", "old_handlers:answer", code=2)
    command("--compare", "--only", "any", "--out", str(tmp_path / "small.jsonl"), code=2)
    command("--compare", "--handler", "old_handlers", code=2)
