"""The pytest plugin, as those see it who install the package: nothing to import, fixtures, helpful failures."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
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


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("feed.messages.subscribe(check)", "never played"),
        ("feed.messages.pipe(at_endpoint('flwr/diabetes', 'updates')).subscribe(check)", "never played"),
        ("feed.serve(events)", "never played"),
        ("feed.run(); feed.messages.subscribe(check)", "messages was subscribed to after the feed had ended"),
        ("feed.run(); feed.runtime.replied.subscribe(check)", "replied was subscribed to after the feed had ended"),
        (
            "feed.run(); feed.messages.pipe(at_endpoint('flwr/diabetes', 'updates')).subscribe(check)",
            "messages was subscribed to after the feed had ended",
        ),
        ("feed.run(); feed.serve(events)", "has been played to its end: serve before that"),
        (
            "feed.serve(misspelt); feed.run()",
            "no handler that is served was called: requests wait for flwr/diabetes/updates",
        ),
    ],
)
def test_what_can_see_nothing_fails_the_test(pytester: pytest.Pytester, steps: str, told: str) -> None:
    result = outcome(
        pytester,
        f"""
        from syft_flwr.events import P2PFileEvents
        from syft_flwr.feed import at_endpoint
        from syft_flwr.testing import Recording

        def check(_):
            raise AssertionError

        def test_looks_green(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            events = P2PFileEvents("flwr/diabetes", feed.account)
            events.on_request("updates", check)
            misspelt = P2PFileEvents("flwr/diabetes", feed.account)
            misspelt.on_request("update", check)
            {steps}

        def test_serves_who_is_not_allowed_to_ask(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            events = P2PFileEvents("flwr/diabetes", feed.account, allowed_senders=["nobody@example.org"])
            events.on_request("updates", check)
            feed.serve(events)
            feed.run()
            assert feed.replies == []

        def test_serves_one_of_two_who_ask(recorded_feed):
            built = Recording.build("owner@example.com")
            built.request("ann@example.org", "flwr/diabetes", "updates", b"one")
            built.request("bob@example.org", "flwr/diabetes", "updates", b"two")
            feed = recorded_feed(built.recording())
            events = P2PFileEvents("flwr/diabetes", feed.account, allowed_senders=["ann@example.org"])
            events.on_request("updates", bytes.upper)
            feed.serve(events)
            feed.run()
            assert [reply.body for reply in feed.replies] == [b"ONE"]

        def test_serves_who_does_not_answer(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            events = P2PFileEvents("flwr/diabetes", feed.account)
            events.on_request("updates", lambda body: None)
            feed.serve(events)
            feed.run()
            feed.close()

        def test_opens_it_only(recorded_feed):
            assert len(recorded_feed("feed.jsonl").recorded_uploads) == 3

        def test_stops_it(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            feed.messages.subscribe(check)
            feed.stop()
        """,
    )
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1
    result.stdout.fnmatch_lines([f"E *RecordingError: *{told}*"])


def test_an_assertion_about_expected_errors_fails_the_test(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_looks_green(recorded_feed):
            feed = recorded_feed("feed.jsonl", strict=False)

            def check(problem):
                assert isinstance(problem.error, ValueError)

            feed.errors.subscribe(check)
            feed.messages.subscribe(lambda message: 1 / 0)
            feed.run()
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*assert isinstance(problem.error, ValueError)*"])


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


SCENE = """
import shutil
import pytest
from syft_flwr.feed import Recording, read_recording

calls = []

def scene(path):
    calls.append(path.name)
    number = len(read_recording(path).entries) if path.exists() else 0
    path.unlink(missing_ok=True)
    shutil.rmtree(f"{path}.bodies", ignore_errors=True)
    feed = Recording.build("owner@example.com")
    for each in range(1 + number):
        feed.request("ann@example.org", "app", "mean", b"x")
    feed.write(path)

def count(feed):
    got = []
    feed.messages.subscribe(got.append)
    feed.run()
    return len(got)
"""


@pytest.mark.parametrize(
    ("mode", "calls", "grows"),
    [("none", 0, False), ("once", 1, False), ("new_episodes", 2, True), ("all", 2, False)],
)
def test_a_recording_is_made_when_the_mode_says_so(
    pytester: pytest.Pytester, mode: str, calls: int, grows: bool
) -> None:
    source = f"""
        {textwrap.indent(SCENE, " " * 8).strip()}

        def test_twice(recorded_feed):
            first = count(recorded_feed("episodes/made.jsonl", record=scene))
            again = count(recorded_feed("episodes/made.jsonl", record=scene))
            assert first == 1
            assert (again > 1) is {grows}
            assert len(calls) == {calls}

        @pytest.mark.recording("marked.jsonl", mode="once")
        def test_marker(recorded_feed):
            assert count(recorded_feed(record=scene)) == 1
    """
    pytester.makepyfile(source)
    result = pytester.runpytest_inprocess(
        "-p", "no:randomly", "-p", "no:cacheprovider", "--strict-markers", f"--recording-mode={mode}"
    )
    result.assert_outcomes(passed=2 - (mode == "none"), failed=int(mode == "none"))
    pytester.makepyfile(source.replace('mode="once"', 'mode="often"'))
    unknown = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-k", "marker")
    unknown.stdout.fnmatch_lines(["*'often' is no recording mode; there are none, once, new_episodes, all*"])
    if mode == "none":
        result.stdout.fnmatch_lines(["*there is no recording*made.jsonl: pytest --recording-mode=once makes it*"])


COPY = """
import shutil

def copy(path):
    shutil.copy("feed.jsonl", path)
    shutil.copytree("feed.jsonl.bodies", f"{path}.bodies")

def count(feed):
    got = []
    feed.messages.subscribe(got.append)
    feed.run()
    return len(got)
"""


def test_tests_that_run_side_by_side_record_one_after_the_other(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import fcntl
        import os
        import pytest
        {textwrap.indent(COPY, " " * 8).strip()}

        def scene(path):
            other_worker = os.open(path.parent, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(other_worker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            copy(path)
            os.close(other_worker)

        def test_shares(recorded_feed):
            assert count(recorded_feed("shared.jsonl", record=scene)) == 3
        """
    )
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", "--recording-mode=once")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)


@pytest.mark.parametrize(("mode", "kept"), [("once", False), ("all", False), ("new_episodes", True)])
def test_a_scene_that_fails_leaves_no_part_of_it_for_the_whole(
    pytester: pytest.Pytester, mode: str, kept: bool
) -> None:
    pytester.makepyfile(
        f"""
        {textwrap.indent(COPY, " " * 8).strip()}

        def fails(path):
            if not path.exists():
                copy(path)
            raise ConnectionError("in the middle of it")

        def test_records(recorded_feed):
            recorded_feed("made.jsonl", record=fails)
        """
    )
    if mode != "once":
        shutil.copy(RECORDING, pytester.path / "made.jsonl")
        shutil.copytree(f"{RECORDING}.bodies", pytester.path / "made.jsonl.bodies")
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", f"--recording-mode={mode}")
    pytester.runpytest_inprocess(*options).assert_outcomes(failed=1)
    assert [(pytester.path / f"made.jsonl{suffix}").exists() for suffix in ("", ".bodies")] == [kept, kept]


def test_a_second_recording_is_made_while_the_first_is_open(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import socket
        import pytest
        from syft_flwr.testing.network import NetworkBlockedError
        {textwrap.indent(COPY, " " * 8).strip()}

        def scene(path):
            socket.getaddrinfo("192.0.2.1", 80)
            copy(path)

        def test_two_accounts(recorded_feed):
            for name in ("one.jsonl", "other.jsonl"):
                assert count(recorded_feed(name, record=scene)) == 3
                with pytest.raises(NetworkBlockedError):
                    socket.getaddrinfo("192.0.2.1", 80)
        """
    )
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", "--recording-mode=once")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)


def test_a_test_that_is_run_again_is_judged_by_that_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    result = outcome(
        pytester,
        """
        runs = []

        def test_is_flaky(recorded_feed):
            feed = recorded_feed("feed.jsonl")
            runs.append(feed)
            feed.messages.subscribe(lambda message: 1 / 0)
            feed.run()
            assert len(runs) == 2
        """,
    )
    result.assert_outcomes(passed=1, errors=1)


def test_a_replay_can_t_connect_to_other_machines_but_to_this_one(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        import socket
        import pytest
        from syft_flwr.testing.network import NetworkBlockedError

        def test_blocked(recorded_feed):
            recorded_feed("feed.jsonl")
            for host in ("192.0.2.1", "www.example.com"):
                with pytest.raises(NetworkBlockedError, match="must not depend on the network"):
                    socket.create_connection((host, 80), timeout=0.1)
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"metric", server.getsockname())
                    for arguments in ((b"metric",), (b"metric", 0)):
                        with pytest.raises(NetworkBlockedError):
                            sender.sendto(*arguments, ("192.0.2.1", 8125))
            for look_up in (socket.gethostbyname, socket.gethostbyname_ex):
                with pytest.raises(NetworkBlockedError):
                    look_up("www.example.com")

        def test_allowed(recorded_feed):
            assert "connect" not in vars(socket.socket)
            recorded_feed("feed.jsonl", network=True)
            assert "connect" not in vars(socket.socket)
        """,
    )
    result.assert_outcomes(passed=2)


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
