"""Endpoints whose small messages are thrown away together, with the folders that hold them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.errors import NotFoundError
from syft_flwr.exchange.disposables import LARGE
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

OWNER, ASKER = "do@example.com", "ds@example.com"
ENDPOINT, RUN = "messages", "7"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def drive(clock: ManualClock) -> MemoryDrive:
    drive = MemoryDrive(clock)
    drive.gateway(OWNER), drive.gateway(ASKER)
    return drive


def route(answer: bytes = b"small") -> Route:
    return Route("app", ENDPOINT, lambda body, _: answer)


def round_trip(asker: DriveRuntime, owner: DriveRuntime, body: bytes = b"x") -> bytes | None:
    [future] = asker.send([Request(OWNER, "app", ENDPOINT, body, RUN)])
    owner.poll_once()
    asker.poll_once()
    reply = asker.get_response(future)
    asker.delete_future(future)
    return reply


def deletions(drive: MemoryDrive) -> int:
    return sum(method == "files.delete" for _, method in drive.calls)


def folders(drive: MemoryDrive) -> list[str]:
    return [folder.owners[0] for folder in drive.folders() if folder.name == ENDPOINT]


def test_a_run_of_small_messages_takes_one_deletion_on_each_side(drive, clock, tmp_path: Path) -> None:
    with (
        runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as owner,
        runtime_on(drive.gateway(ASKER), State(tmp_path / "a"), clock, ASKER, inline=True) as asker,
    ):
        serve(owner, route(), known_senders=(ASKER,))
        disposable = asker.disposable(RUN)
        assert asker.send([Request(OWNER, "app", ENDPOINT, b"greeting")])
        owner.poll_once()
        before = folders(drive)
        assert [round_trip(asker, owner) for _ in range(5)] == [b"small"] * 5
        assert deletions(drive) == 0
        owners = folders(drive)
        assert [owners.count(each) for each in (OWNER, ASKER)] == [1 + before.count(OWNER), 1 + before.count(ASKER)]
        disposable.dispose()
        owner.poll_once()  # learns that the requests are gone
        assert deletions(drive) == 2
        assert [content for _, _, content in drive.files()] == [b"greeting", b"small"]
        assert folders(drive) == before


def test_a_large_reply_goes_at_once_and_so_does_a_request_that_nobody_answered(drive, clock, tmp_path: Path) -> None:
    large = b"y" * (LARGE + 1)
    with (
        runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as owner,
        runtime_on(drive.gateway(ASKER), State(tmp_path / "a"), clock, ASKER, inline=True) as asker,
    ):
        serve(owner, route(large))
        assert round_trip(asker, owner) == large
        clock.advance(2)
        owner.poll_once()
        assert drive.files() == []
        [future] = asker.send([Request(OWNER, "app", ENDPOINT, b"never mind", RUN)])
        asker.delete_future(future)
        assert drive.files() == []


def test_what_a_process_that_died_has_left_goes_when_it_expires(drive, clock, tmp_path: Path) -> None:
    asked, owned = State(tmp_path / "a"), State(tmp_path / "o")
    expiry = {"cleanup_expiry": 3600.0, "cleanup_interval": 60.0}
    with (
        runtime_on(drive.gateway(OWNER), owned, clock, OWNER, inline=True, **expiry) as owner,
        runtime_on(drive.gateway(ASKER), asked, clock, ASKER, inline=True, **expiry) as asker,
    ):
        serve(owner, route())
        for _ in range(5):  # in use, its deadline moves on
            clock.advance(1800)
            assert round_trip(asker, owner) == b"small"
        assert len(drive.files()) == 10
    clock.advance(3700)
    with runtime_on(drive.gateway(ASKER), asked, clock, ASKER, inline=True, **expiry) as asker:
        asker.poll_once()
    with runtime_on(drive.gateway(OWNER), owned, clock, OWNER, inline=True, **expiry) as owner:
        owner.poll_once()
    assert drive.files() == []
    assert len(folders(drive)) == 2, "the endpoint's own, one each way"


def test_what_was_published_by_a_process_that_died_before_it_told_anyone_goes_when_it_expires(
    drive, clock, tmp_path: Path
) -> None:
    content = tmp_path / "model"
    content.write_bytes(b"m" * 100_000)
    state, expiry = State(tmp_path / "a"), {"cleanup_expiry": 3600.0, "cleanup_interval": 60.0}
    with runtime_on(drive.gateway(ASKER), state, clock, ASKER, inline=True, **expiry) as asker:
        asker.disposable(RUN).publish("model", content, [OWNER])
    assert len(drive.files()) == 1
    clock.advance(3700)
    with runtime_on(drive.gateway(ASKER), state, clock, ASKER, inline=True, **expiry) as asker:
        asker.poll_once()
    assert drive.files() == []


def test_who_joins_late_can_fetch_what_is_published_from_then_on_and_what_was_before(
    drive, clock, tmp_path: Path
) -> None:
    content = tmp_path / "model"
    content.write_bytes(b"m" * 100_000)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    late = "late@example.com"
    with (
        runtime_on(drive.gateway(ASKER), State(tmp_path / "a"), clock, ASKER, inline=True) as asker,
        runtime_on(drive.gateway(late), State(tmp_path / "l"), clock, late, inline=True) as joining,
    ):
        published = asker.disposable(RUN)
        before = published.publish("round-1", content, [OWNER])
        with pytest.raises(NotFoundError):
            joining.fetch(before, tmp_path / "fetched", size=100_000, sha256=digest)
        after = published.publish("round-2", content, [OWNER, late])
        for file_id in (before, after):
            joining.fetch(file_id, tmp_path / "fetched", size=100_000, sha256=digest)
            assert (tmp_path / "fetched").read_bytes() == content.read_bytes()


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "ü"])
def test_a_name_that_makes_no_sense_is_refused_here_and_ignored_from_a_peer(drive, clock, tmp_path: Path, name) -> None:
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as owner:
        with pytest.raises(ValueError, match="letters, digits and hyphens"):
            owner.disposable(name)
        assert engine_of(owner).parts.disposables.of_request({"disposable": name}) == ""


@pytest.mark.parametrize("size", [2_500, 5_000, 8_000])
def test_a_body_of_some_kilobytes_is_spread_over_files_that_are_looked_at_instead_of_a_download(
    drive, clock, tmp_path: Path, size: int
) -> None:
    body = random.Random(0).randbytes(size)
    with (
        runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as owner,
        runtime_on(drive.gateway(ASKER), State(tmp_path / "a"), clock, ASKER, inline=True) as asker,
    ):
        serve(owner, route(body), known_senders=(ASKER,))
        assert round_trip(asker, owner, body) == body
        asker.disposable(RUN).dispose()
        asker.poll_once()
        owner.poll_once()
        owner.poll_once()
    assert "files.get_media" not in [method for _, method in drive.calls]
    assert drive.files() == []


@pytest.mark.parametrize("harm", ["deleted", "of another body", "unnamed"])
def test_where_such_a_file_is_missing_or_another_s_the_body_is_downloaded(
    drive, clock, tmp_path: Path, harm: str
) -> None:
    body = random.Random(0).randbytes(5_000)
    with (
        runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as owner,
        runtime_on(drive.gateway(ASKER), State(tmp_path / "a"), clock, ASKER, inline=True) as asker,
    ):
        serve(owner, Route("app", ENDPOINT, lambda body, _: body), known_senders=(ASKER,))
        [future] = asker.send([Request(OWNER, "app", ENDPOINT, body, RUN)])
        with drive.edited() as files:
            [more] = [file for file in files if file.name.endswith(".more")]
            [request] = [file for file in files if file.name.endswith(".request")]
            if harm == "unnamed":
                request.properties = {name: value for name, value in request.properties.items() if name != "more"}
            elif harm == "of another body":
                more.properties = request.properties
        if harm == "deleted":
            drive.remove(more.id)
        owner.poll_once()
        asker.poll_once()
        assert asker.get_response(future) == body
    assert [method for account, method in drive.calls if account == OWNER].count("files.get_media") == 1
