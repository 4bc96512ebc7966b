"""The pytest plugin, as those see it who install the package: nothing to import, fixtures, helpful failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from syft_flwr.testing.clock import ManualClock

RECORDING = Path(__file__).parents[1] / "recordings" / "delayed.jsonl"

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def quick(pytester: pytest.Pytester) -> None:
    (pytester.path / "feed.jsonl").symlink_to(RECORDING)
    (pytester.path / "feed.jsonl.bodies").symlink_to(f"{RECORDING}.bodies")


def outcome(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", "--strict-markers")


def test_a_recording_is_opened_by_its_path_or_by_the_marker(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        import pytest

        def test_path(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            got = []
            feed.messages.subscribe(got.append)
            feed.run()
            assert len(got) == 3

        @pytest.mark.recording("feed.jsonl")
        def test_marker(recorded_feed):
            feed = recorded_feed()
            got = []
            feed.messages.subscribe(got.append)
            feed.scheduler.start(disposed=1e6)
            assert len(got) == 3
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_failure_shows_the_events_around_it(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_fails(recorded_feed):
            from syft_flwr.events import P2PFileEvents

            feed = recorded_feed("feed.jsonl")
            events = P2PFileEvents("flwr/diabetes", feed.account)

            def handler(body):
                if body == b"second":
                    raise ValueError("I don't like it")
                return body

            events.on_request("updates", handler)
            feed.serve(events)
            feed.run()
            assert [reply.is_error for reply in feed.replies] == [False, False, False]
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- Recorded feed -*",
            "stands at line * of *feed.jsonl",
            "*line 8 * 11.* s  request b@hospital.example → owner@example.com flwr/diabetes/updates 6 B *",
            "> line 8 * error handler: ValueError: I don't like it b@hospital.example → *",
            "*replied with an error b@hospital.example → *",
        ]
    )


def test_an_assertion_within_an_observer_fails_the_test(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_looks_green(recorded_feed):
            feed = recorded_feed("feed.jsonl")

            def check(message):
                assert message.sender == "somebody"

            feed.messages.subscribe(check)
            feed.run()
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*AssertionError*", "*Recorded feed*"])


def test_a_replay_that_broke_off_fails_the_test(pytester: pytest.Pytester) -> None:
    (pytester.path / "feed.jsonl.bodies").unlink()
    recording = (pytester.path / "feed.jsonl").read_text().replace('"bodies":true', '"bodies":false')
    (pytester.path / "feed.jsonl").unlink()
    (pytester.path / "feed.jsonl").write_text(recording)
    result = outcome(
        pytester,
        """
        def test_looks_green(recorded_feed):
            from syft_flwr.feed import with_body

            feed = recorded_feed("feed.jsonl")
            feed.messages.pipe(with_body(feed.runtime)).subscribe(lambda _: None)
            feed.scheduler.start(disposed=1e6)
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*RecordingError*line 8*can't be read*"])


def test_a_missing_path_says_what_to_do(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_nothing(recorded_feed):
            recorded_feed()
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*recorded_feed needs a path, or the test a marker*"])


def test_an_emulator_and_a_clock_are_at_hand(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_both(drive_emulator, manual_clock):
            assert drive_emulator.files() == []
            before = manual_clock.monotonic()
            manual_clock.advance(3600)
            assert manual_clock.monotonic() == before + 3600
        """,
    )
    result.assert_outcomes(passed=1)


def test_the_manual_clock_is_the_public_one(manual_clock: ManualClock) -> None:
    assert isinstance(manual_clock, ManualClock)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, syft_flwr.testing.plugin; "
        "heavy = {'reactivex', 'flwr', 'googleapiclient', 'uvicorn', 'numpy', 'syft_flwr.runtime'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
