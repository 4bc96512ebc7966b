"""``syft-flwr record``: write an account's feed to a file."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.options import EmailOption, PollIntervalOption
from syft_flwr.cli.output import say
from syft_flwr.cli.watch import source
from syft_flwr.errors import InvalidNameError, RecordingError
from syft_flwr.settings import parse_duration
from syft_flwr.wire import is_future_id

if TYPE_CHECKING:
    from syft_flwr.runtime import DriveRuntime
    from syft_flwr.state.events import Happened


def record(  # noqa: PLR0917 - typer passes options by name
    out: Annotated[Path, typer.Option(help="The file, JSON Lines; an existing recording goes on.", dir_okay=False)],
    email: EmailOption = None,
    bodies: Annotated[
        bool,
        typer.Option("--bodies", help="Download messages' contents, too, into OUT.bodies, 4 GiB at most; costs quota."),
    ] = False,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="Replace addresses and names, each always by the same other one, and make sizes coarse; "
            "no anonymisation: IDs, times, and the names of apps and endpoints stay.",
        ),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Record nothing: end OUT, whose recorder was killed, and say what is lost.")
    ] = False,
    message: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Record one message that is still in Drive, with its body, and end; OUT must be new.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        str | None, typer.Option("--for", help="End after this time: 10m, 2h, or a number of seconds.")
    ] = None,
    until: Annotated[int | None, typer.Option("--until", min=1, help="End after so many messages.")] = None,
    poll_interval: PollIntervalOption = None,
) -> None:
    """Record what comes to an account until Ctrl-C, to be replayed in a test or with "syft-flwr replay".

    Beside processes of the account it records what they write down and transfer, without a call to Drive. Where none
    works, it follows the feed. At its end it says what it has and what it lacks. Recording takes nothing away.
    """
    if repair:
        from syft_flwr.recording.reader import repair as repair_recording

        say(f"{out}: lost: {repair_recording(out)}")
        return
    if message is not None:
        if redact:
            raise typer.BadParameter(
                "a message is recorded with its body, which can't be redacted", param_hint="--redact"
            )
        _record_message(message, email, out)
        return
    limit = None if seconds is None else _seconds(seconds)
    with closing(AccountRecording(email, out, poll_interval, bodies=bodies, redact=redact, until=until)) as recording:
        with suppress(KeyboardInterrupt):
            recording.run(limit)
        recording.end()
        if recording.lost:
            raise RecordingError(
                f"can't write {out} any more: {recording.lost[0]}; --repair makes of it what can be read"
            )


def _seconds(text: str) -> float:
    return parse_duration(text if text[-1:].isalpha() else f"{text}s", "--for")


_BETWEEN_POLLS = "what came and went between two polls while no process worked here"


class AccountRecording:
    """A recording of what an account's processes do, or of its feed where none works."""

    def __init__(
        self,
        email: str | None,
        out: Path,
        poll_interval: float | None,
        *,
        bodies: bool,
        redact: bool,
        until: int | None,
    ) -> None:
        from syft_flwr.cli.account import account_of
        from syft_flwr.clock import SystemClock
        from syft_flwr.recording import Recorder
        from syft_flwr.runtime.log_recorder import LogRecorder, known_here
        from syft_flwr.runtime.onlooker import Onlooker
        from syft_flwr.runtime.taps import Tap

        account = account_of(email)
        self._email, self._out = account.email, out
        self._poll_interval, self._bodies, self._until = poll_interval, bodies, until
        self.lost: list[str] = []
        self._ended = threading.Event()
        self._is_futile = not out.exists()
        self._gap = _gap_before(out, account.directory)
        with ExitStack() as stack:
            tap = stack.enter_context(closing(Tap(account.directory, bodies=bodies)))
            start = known_here(account.directory)
            number = start.pop("events", None)
            self._recorder = Recorder(
                out,
                None,
                account=account.email,
                start=start,
                clock=SystemClock(),
                bodies=bodies,
                redact=redact,
                report=self._failed,
            )
            stack.callback(self._recorder.close)
            stack.callback(self._remove_if_futile)
            self._log = LogRecorder(self._recorder, account.directory, tap, start, bodies=bodies)
            self._onlooker = Onlooker(
                account.directory,
                open_feed=self._open_feed,
                on_event=self._take,
                on_source=self._tell_source,
                on_gap=self._log.lost,
                on_look=self._log.collect,
            )
            stack.callback(self._onlooker.close)
            self._onlooker.begin(number)
            self._stack = stack.pop_all()

    def run(self, seconds: float | None) -> None:
        """Record until Ctrl-C, or what the options say.

        Raises:
            SyftFlwrError: The feed or the log can't be followed any more.
        """
        self._onlooker.run(self._ended, seconds)

    def end(self) -> None:
        """End the recording, and say what it has."""
        self._log.end()
        self.close()
        if self.lost:
            return
        has, lacks = self._log.summary()
        say(f"{self._out} has {has}", err=True)
        for lack in [*self._gap, *lacks]:
            say(f"it lacks {lack}", err=True)
        tell_spending(self._email, self._onlooker.bill)

    def close(self) -> None:
        """Let go of everything; idempotent."""
        self._stack.close()

    def _remove_if_futile(self) -> None:
        """Leave no file where there was none and nothing could be followed."""
        from syft_flwr.recording.reader import bodies_directory

        if self._is_futile:
            self._out.unlink()
            shutil.rmtree(bodies_directory(self._out), ignore_errors=True)

    def _take(self, event: Happened) -> None:
        self._log.take(event)
        if event.what == "error":
            say(f"{event.fields['where']}: {event.fields['error']}", err=True)
        if self._until is not None and self._log.over >= self._until:
            self._ended.set()

    def _failed(self, error: Exception) -> None:
        self.lost.append(getattr(error, "strerror", None) or str(error))
        self._ended.set()

    def _open_feed(self) -> DriveRuntime:
        from syft_flwr.feed import with_body
        from syft_flwr.runtime import DriveRuntime
        from syft_flwr.runtime.handle import engine_of

        runtime = DriveRuntime.observe(self._email, poll_interval=self._poll_interval)
        self._recorder.listen(engine_of(runtime).parts.gateway)
        if self._bodies:  # what is downloaded is recorded
            runtime.messages.pipe(with_body(runtime)).subscribe()
        return runtime

    def _tell_source(self, processes: int) -> None:
        self._is_futile = False
        if not processes and _BETWEEN_POLLS not in self._gap:
            self._gap.append(_BETWEEN_POLLS)
        where = f"recording to {self._out}" + (" with bodies" if self._bodies else "")
        say(f"{where}: {source(self._email, processes)}", err=True)


def _gap_before(out: Path, directory: Path) -> list[str]:
    """Return what passed between the end of a recording that goes on and now, in words."""
    from syft_flwr.recording.reader import read_recording
    from syft_flwr.runtime.log_recorder import messages_in_log

    if not out.is_file() or not out.stat().st_size:
        return []
    before = read_recording(out, allow_cut_off=True)
    ended = before.header.time + before.duration
    passed = len(messages_in_log(directory, ended))
    return [f"{passed} messages of the time when nothing recorded"] if passed else []


def whole_id(directory: Path, beginning: str) -> str:
    """Return the ID that begins so, if the account's event log has exactly one; else what was given.

    Args:
        directory: The account's state directory.
        beginning: Eight characters at least, as "watch" shows them.
    """
    from syft_flwr.recording.cut import whole
    from syft_flwr.runtime.log_recorder import messages_in_log

    return whole(beginning, messages_in_log(directory))


def _record_message(future_id: str, email: str | None, out: Path) -> None:
    from syft_flwr.cli.account import account_of, connected
    from syft_flwr.cli.record_message import record_message

    account = account_of(email)
    future_id = whole_id(account.directory, future_id)
    if not is_future_id(future_id):
        raise InvalidNameError(
            f"{future_id!r} is no message's ID, which looks like 3f1c8e52-0d5e-4c1b-9a53-6a2d7e90b1f4"
        )
    with connected(account) as gateway:
        names = record_message(gateway, account.email, future_id, out, state=account.directory)
    say(f"{out}: {', '.join(names)}", err=True)
