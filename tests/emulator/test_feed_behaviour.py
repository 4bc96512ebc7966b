"""What real Drive's feed and listing do to those who trust them too much."""

from __future__ import annotations

from typing import Any

import pytest
from emulator_steps import ALICE, BOB, changed, changes, create, folder, found, get, refusal, share, start

from drive_emulator import DriveEmulator


def test_an_entry_may_appear_later_than_what_happened(emulator: DriveEmulator, alice: Any) -> None:
    token = start(alice)
    with emulator.behaviour(delay_seconds=30):
        file = create(alice, "late")
        assert found(alice, "name='late'") == ["late"]
        assert changed(alice, token) == []
        emulator.advance(29)
        assert changed(alice, token) == []
        emulator.advance(2)

        assert changed(alice, token) == [file]


def test_a_late_entry_comes_after_the_token_that_was_read_meanwhile(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.behaviour(delay_seconds=30):
        file = create(alice, "late")
    token = start(alice)
    prompt = create(alice, "prompt")
    entries, token = changes(alice, token)
    assert [entry["fileId"] for entry in entries] == [prompt]

    emulator.advance(31)

    assert changed(alice, token) == [file]


def test_a_late_entry_shows_the_file_as_it_is_by_then(emulator: DriveEmulator, alice: Any) -> None:
    token = start(alice)
    with emulator.behaviour(delay_seconds=30):
        file = create(alice, "first")
        alice.files().update(fileId=file, body={"name": "second"}).execute()
        gone = create(alice, "gone")
        alice.files().delete(fileId=gone).execute()
        emulator.advance(31)

    entries = {entry["fileId"]: entry for entry in changes(alice, token)[0]}
    assert entries[file]["file"]["name"] == "second"
    assert entries[gone]["removed"]


@pytest.mark.parametrize("behaviour", ["delayed", "omitted"])
def test_children_of_folders_that_others_own_come_late_or_never(
    emulator: DriveEmulator, alice: Any, bob: Any, behaviour: str
) -> None:
    hers, his = folder(alice, "hers"), folder(bob, "his")
    share(alice, hers, BOB)
    share(bob, his, ALICE)
    token = start(bob)
    with emulator.behaviour(foreign_children=behaviour, foreign_delay_seconds=60):
        in_hers, in_his = create(alice, "in hers", hers), create(alice, "in his", his)
        own = create(bob, "own", hers)

        assert changed(bob, token) == [in_his, own]
        assert sorted(found(bob, f"'{hers}' in parents")) == ["in hers", "own"]
        emulator.advance(61)
        assert changed(bob, token) == ([in_his, own, in_hers] if behaviour == "delayed" else [in_his, own])


def test_a_mere_view_may_put_a_file_into_the_viewers_feed(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    share(alice, file, BOB)
    tokens = start(alice), start(bob)
    with emulator.behaviour(views_are_changes=True):
        get(bob, file)

    assert changed(bob, tokens[1]) == [file]
    assert changed(alice, tokens[0]) == []


def test_an_entry_can_be_repeated_although_nothing_changed(emulator: DriveEmulator, alice: Any) -> None:
    file = create(alice, "file")
    token = start(alice)
    emulator.touch(ALICE, file)

    assert changed(alice, token) == [file]
    with pytest.raises(ValueError, match="not found"):
        emulator.touch(BOB, file)


def test_lists_may_lag_behind_writes_although_the_file_can_be_got(emulator: DriveEmulator, alice: Any) -> None:
    inbox = folder(alice, "inbox")
    emulator.advance(11)
    with emulator.behaviour(list_lag_seconds=10):
        file = create(alice, "new", inbox)
        assert found(alice, f"'{inbox}' in parents") == []
        assert get(alice, file)["name"] == "new"
        emulator.advance(11)

        assert found(alice, f"'{inbox}' in parents") == ["new"]


def test_the_behaviour_ends_with_its_block(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.behaviour(list_lag_seconds=1000, delay_seconds=1000):
        pass
    token = start(alice)
    file = create(alice, "x")

    assert found(alice, "") == ["x"]
    assert changed(alice, token) == [file]


@pytest.mark.parametrize(
    "settings", [{"surprise": 1}, {"delay_seconds": -1}, {"foreign_children": "lost"}, {"views_are_changes": 1}]
)
def test_a_behaviour_that_there_is_not_is_refused(emulator: DriveEmulator, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can't be"), emulator.behaviour(**settings):
        pass


def test_the_clock_only_goes_forward_and_everything_follows_it(emulator: DriveEmulator, alice: Any) -> None:
    before = get(alice, create(alice, "x"))["createdTime"]
    emulator.advance(86_400 * 365)

    assert int(get(alice, create(alice, "y"))["createdTime"][:4]) == int(before[:4]) + 1
    with pytest.raises(ValueError, match="forward"):
        emulator.advance(-1)
    assert refusal(alice.files().get(fileId="nothing"))[0] == 404
