from __future__ import annotations

import json
import threading

from syft_flwr.drive.quota import METHOD_UNITS, QuotaMeter, units_of


def test_the_documented_methods_cost_what_the_documentation_says() -> None:
    documented = {"files.list": 100, "files.get": 5, "files.update": 50, "files.get_media": 200, "files.generateIds": 5}
    assert {method: METHOD_UNITS[method] for method in documented} == documented
    assert units_of("drives.get") == 5


def test_the_meter_counts_calls_units_bytes_and_retries_by_method() -> None:
    meter = QuotaMeter()
    meter.book("files.create", bytes_up=10)
    meter.book("files.create", retried=True, bytes_up=10, bytes_down=3)
    meter.book("changes.list", bytes_down=7)
    meter.book_throttle()
    assert meter.calls() == {"files.create": 2, "changes.list": 1}
    assert meter.units() == {"files.create": 100, "changes.list": 100}
    assert meter.throttled == 1
    snapshot = meter.snapshot()
    assert (snapshot.calls, snapshot.units, snapshot.methods["files.create"].retries) == (3, 200, 1)
    assert json.loads(json.dumps(snapshot.to_json()))["methods"]["files.create"]["bytes_up"] == 20


def test_a_snapshot_does_not_change_with_the_meter() -> None:
    meter = QuotaMeter()
    meter.book("files.get")
    snapshot = meter.snapshot()
    meter.book("files.get")
    assert snapshot.calls == 1


def test_no_booking_is_lost_between_threads() -> None:
    meter = QuotaMeter()
    threads = [
        threading.Thread(target=lambda: [meter.book("files.get", bytes_up=1) for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.snapshot().methods["files.get"].bytes_up == 2000


def test_a_snapshot_tells_what_was_saved_and_what_a_day_comes_to(monkeypatch) -> None:
    meter = QuotaMeter()
    began = meter._began
    monkeypatch.setattr("syft_flwr.drive.quota.time.monotonic", lambda: began + 3_600.0)
    meter.book("changes.list")
    for _ in range(2):
        meter.book_saving("peeks", 95, 0)
    meter.book_saving("shared objects", 0, 1_000_000)
    snapshot = meter.snapshot()
    assert (snapshot.saved, snapshot.a_day) == (190, 2_400)
    told = json.loads(json.dumps(snapshot.to_json()))
    assert told["savings"]["peeks"] == {"times": 2, "units": 190, "bytes": 0}
    assert told["savings"]["shared objects"]["bytes"] == 1_000_000
    assert (told["saved"], told["a_day"], told["seconds"]) == (190, 2_400, 3_600.0)
