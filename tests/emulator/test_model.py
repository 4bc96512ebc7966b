"""Drive's rules by themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_emulator.accounts import is_address
from drive_emulator.clock import EmulatorClock, parse_timestamp, to_timestamp
from drive_emulator.hosts import address_of
from drive_emulator.ids import is_reserved, new_file_id, permission_id
from drive_emulator.model import ROLES, Permission, Role, effective_roles, inherited, link_role, rank
from drive_emulator.quota import UNITS, RateLimiter

accounts = st.sampled_from(("a", "b", "c"))
roles = st.sampled_from(ROLES[:3])
grants = st.lists(st.builds(Permission, accounts, st.just("user"), roles, accounts), max_size=5)


@given(accounts, st.dictionaries(accounts, st.sampled_from(ROLES)), grants)
def test_nobody_has_less_than_what_they_inherit_or_were_granted(
    owner: str, above: dict[str, Role], permissions: list[Permission]
) -> None:
    result = effective_roles(owner, above, permissions)

    assert result[owner] == "owner"
    assert result.keys() == {owner, *above, *(permission.grantee for permission in permissions)}
    for account, role in above.items():
        assert rank(result[account]) >= rank(inherited(role))
    for permission in permissions:
        assert rank(result[permission.grantee]) >= rank(permission.role)


@given(accounts, st.dictionaries(accounts, st.sampled_from(ROLES)), grants)
def test_a_file_has_exactly_one_owner(owner: str, above: dict[str, Role], permissions: list[Permission]) -> None:
    assert [account for account, role in effective_roles(owner, above, permissions).items() if role == "owner"] == [
        owner
    ]


def test_the_owner_of_a_folder_inherits_the_right_to_edit() -> None:
    assert effective_roles("b", {"a": "owner"}, []) == {"a": "writer", "b": "owner"}


def test_a_link_opens_to_its_domain_only() -> None:
    link = Permission("1k", "domain", "reader", "example.org")

    assert link_role([link], "example.org") == "reader"
    assert link_role([link], "example.com") is None
    assert link_role([link, Permission("anyoneWithLink", "anyone", "writer")], "example.com") == "writer"


@given(st.text(max_size=40))
def test_only_an_id_that_was_given_out_counts_as_reserved(text: str) -> None:
    assert not is_reserved(text)
    assert is_reserved(new_file_id())


@given(st.integers(0, 32), st.sampled_from("AZaz09-_"))
def test_an_id_with_one_character_changed_is_not_reserved(position: int, other: str) -> None:
    reserved = new_file_id()
    changed = reserved[:position] + other + reserved[position + 1 :]

    assert is_reserved(changed) == (changed == reserved)


def test_a_permission_id_is_the_same_for_an_address_in_any_case() -> None:
    assert permission_id("A@Example.com") == permission_id("a@example.COM")
    assert len(permission_id("a@example.com")) == 20


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_to_the_millisecond(moment: datetime) -> None:
    shown = to_timestamp(parse_timestamp(moment.isoformat()))

    assert len(shown) == 24
    assert parse_timestamp(shown) == parse_timestamp(moment.isoformat())


@pytest.mark.parametrize("text", ["", "now", "2020-01-01", "2020-13-01T00:00:00Z", "0001-01-01T00:00:00+10:00", "½"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


@pytest.mark.parametrize("address", ["a@b", "A.b+c@example.com", "ü@example.com"])
def test_what_is_an_address(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "a@b/c", "<a@b>", "a@b,c@d", "x" * 99 + "@y"]
)
def test_what_is_no_address(address: str) -> None:
    assert not is_address(address)


def test_the_clock_never_goes_back() -> None:
    clock = EmulatorClock()
    before = clock.time()
    clock.advance(100)

    assert clock.time() >= before + 100
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="forward"):
            clock.advance(seconds)


def test_units_are_the_documented_ones() -> None:
    documented = {"files.list": 100, "files.get": 5, "files.get_media": 200, "files.update": 50, "files.generateIds": 5}

    assert {method: UNITS[method] for method in documented} == documented


def test_a_budget_holds_for_the_minute_that_begins_with_a_request() -> None:
    limiter = RateLimiter()

    assert limiter.spend("a", 60, 100, now=0.0)
    assert limiter.spend("a", 40, 100, now=59.0)
    assert not limiter.spend("a", 1, 100, now=59.9)
    assert limiter.spend("b", 100, 100, now=59.9)
    assert limiter.spend("a", 60, 100, now=60.0)
    assert limiter.spend("a", 40, 100, now=118.9)
    assert not limiter.spend("a", 1, 100, now=119.9)
    assert limiter.spend("a", 100, 100, now=120.0)


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert address_of("::1", 8085) == "[::1]:8085"
    assert address_of("127.0.0.1", 8085) == "127.0.0.1:8085"
