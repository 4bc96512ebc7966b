"""What changes.list says, and to whom."""

from __future__ import annotations

import pytest
from drive_world import World, refusal


def test_an_entry_is_the_current_state_and_several_edits_give_one(world: World) -> None:
    token = world.mine.start()
    file = world.mine.create("first", world.top)
    world.mine.update(file, name="second")
    world.mine.update(file, name="third")

    mine = world.mine
    entries = mine.until(lambda: mine.news(token, file), lambda found: found[-1]["file"]["name"] == "third")
    assert [entry["file"]["name"] for entry in entries] == ["third"]


def test_what_was_made_and_deleted_leaves_a_tombstone_without_a_file(world: World) -> None:
    token = world.mine.start()
    file = world.mine.create("x", world.top)
    world.mine.files.delete(fileId=file).execute()

    mine = world.mine
    (entry,) = mine.until(lambda: mine.news(token, file), lambda found: found[-1]["removed"])
    assert entry["removed"]
    assert "file" not in entry


def test_the_oldest_change_comes_first(world: World) -> None:
    token = world.mine.start()
    files = [world.mine.create(str(number), world.top) for number in range(3)]
    world.mine.update(files[0], name="changed")

    mine = world.mine
    last = mine.until(lambda: mine.news(token, *files), lambda found: found[-1]["fileId"] == files[0])
    assert [entry["fileId"] for entry in last] == [files[1], files[2], files[0]]


def test_the_start_token_moves_with_the_account_s_own_feed_only(world: World) -> None:
    before = world.yours.start()
    token = world.mine.start()
    world.mine.news(token, world.mine.create("x", world.top))

    assert world.yours.start() == before
    assert world.mine.start() != token


def test_only_the_last_page_has_a_new_start_token_and_all_others_the_next_page_s(world: World) -> None:
    token = world.mine.start()
    world.mine.news(token, *(world.mine.create(str(number), world.top) for number in range(3)))

    tokens = []
    while True:
        page = world.mine.client.changes().list(pageToken=token, pageSize=1).execute()
        assert len(page["changes"]) <= 1
        assert ("nextPageToken" in page) != ("newStartPageToken" in page)
        tokens.append(page.get("nextPageToken") or page["newStartPageToken"])
        if "newStartPageToken" in page:
            break
        token = tokens[-1]
    assert [int(token) for token in tokens] == sorted(int(token) for token in tokens)


@pytest.mark.parametrize("token", ["0", "nonsense", "999999999999999"])
def test_a_token_that_no_feed_gave_out_is_refused(world: World, token: str) -> None:
    status, _ = refusal(world.mine.client.changes().list(pageToken=token))

    assert status in {400, 404, 410}


def test_a_shared_file_is_in_the_feed_and_a_withdrawn_one_looks_like_a_deleted_one(world: World) -> None:
    file = world.mine.create("x", world.top)
    token = world.yours.start()
    permission = world.mine.share(file, world.yours)
    (shared,) = world.yours.news(token, file)
    assert shared["file"]["name"] == "x"
    assert not shared["file"]["ownedByMe"]

    world.mine.client.permissions().delete(fileId=file, permissionId=permission).execute()

    yours = world.yours
    (withdrawn,) = yours.until(lambda: yours.news(token, file), lambda found: found[-1]["removed"])
    assert withdrawn["removed"]
    assert "file" not in withdrawn


def test_what_another_puts_into_one_s_own_folder_is_in_the_feed(world: World) -> None:
    world.mine.share(world.top, world.yours)
    token = world.mine.start()
    file = world.yours.create("x", world.top)
    world.also.append(file)

    (entry,) = world.mine.news(token, file)
    assert entry["file"]["parents"] == [world.top]
    assert entry["file"]["owners"] == [{"emailAddress": world.yours.email}]


def test_a_parent_is_told_to_those_who_can_see_it(world: World) -> None:
    file = world.mine.create("x", world.top)
    world.mine.share(file, world.yours)

    assert world.mine.get(file)["parents"] == [world.top]
    assert "parents" not in world.yours.get(file)


def test_properties_ride_in_the_feed(world: World) -> None:
    token = world.mine.start()
    file = world.mine.create("x", world.top, properties={"key": "value"}, contentHints={"indexableText": "never"})

    (entry,) = world.mine.news(token, file)
    assert entry["file"]["properties"] == {"key": "value"}
    assert "contentHints" not in world.mine.get(file)


def test_sharing_a_folder_shows_and_deleting_it_takes_what_lies_in_it(world: World) -> None:
    folder = world.mine.folder("folder", world.top)
    file = world.mine.create("x", world.mine.folder("inner", folder))
    token = world.yours.start()
    world.mine.share(folder, world.yours)
    assert world.yours.get(file)["name"] == "x"
    world.mine.files.delete(fileId=folder).execute()

    assert refusal(world.yours.files.get(fileId=file)) == (404, "notFound")
    yours = world.yours
    (entry,) = yours.until(lambda: yours.news(token, folder), lambda found: found[-1]["removed"])
    assert entry["removed"]
