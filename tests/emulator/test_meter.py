"""The log of requests keeps the newest, and no more than a bounded amount of memory."""

from __future__ import annotations

from drive_emulator.quota import LoggedRequest, Meter


def request(number: int, query: str = "") -> LoggedRequest:
    return LoggedRequest(number, "alice@example.org", "files.list", 200, 100, "/drive/v3/files", query, 0, 0)


def test_the_log_keeps_the_newest_requests_in_a_bounded_number_of_bytes() -> None:
    meter = Meter()
    query = "q" * 1024 * 1024

    for number in range(100):
        meter.book(request(number, query))

    times = [entry["time"] for entry in meter.requests()]
    assert times == list(range(100 - len(times), 100))
    assert 20 < len(times) <= 32
    assert meter.stats()["alice@example.org"]["files.list"]["calls"] == 100


def test_a_cleared_log_has_all_its_room_again() -> None:
    meter = Meter()
    for number in range(100):
        meter.book(request(number, "q" * 1024 * 1024))

    meter.clear()
    for number in range(1000):
        meter.book(request(number))

    assert len(meter.requests()) == 1000
