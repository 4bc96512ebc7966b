"""What all commands share: how errors and signals end them, and how things are printed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
import typer

from syft_flwr.cli.entry import INTERRUPTED, end_at_once
from syft_flwr.errors import DriveUnavailableError, SyftFlwrError, TerminatedError
from syft_flwr.printable import printable
from syft_flwr.settings import EMULATOR_VARIABLE, LOG_FORMAT_VARIABLE, load_endpoint

_SLOW = 3.0
_TRACEBACKS_AT = 2
"""The least ``-v``s that show tracebacks."""

_REASONS = {
    errno.ENOSPC: "the disk is full; make room and start again",
    errno.EDQUOT: "your quota on this disk is used up; make room and start again",
    errno.EROFS: "this file system is read-only; choose another place",
    errno.EACCES: "you may not do this here; choose another place, or have its owner allow it",
    errno.EPERM: "you may not do this here; choose another place, or have its owner allow it",
    errno.EEXIST: "a file of this name is in the way; choose another name, or remove it",
    errno.ENOTDIR: "a file is in the way where a directory must be; choose another place, or remove it",
    errno.EISDIR: "a directory of this name is in the way; choose another name",
    errno.ENOENT: "there is no such file or directory",
    errno.ENAMETOOLONG: "this name is too long; choose another one",
}


def say(text: str, *, err: bool = False, indent: int = 4) -> None:
    """Print a line, folded between words where a person reads it; programs that read a pipe get it whole.

    On standard error it is an event where programs read that, too.
    """
    if err and events_are_json():
        tell("note", message=text)
        return
    stream = sys.stderr if err else sys.stdout
    typer.echo(folded(text, shutil.get_terminal_size().columns, indent) if stream.isatty() else text, err=err)


def folded(text: str, width: int, indent: int = 4) -> str:
    """Fold lines to a width between words alone, so that addresses and paths stay whole."""
    fold = textwrap.TextWrapper(width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(fold.fill(line) for line in text.splitlines())


def events_are_json() -> bool:
    """Tell whether standard error has an event or a log line as JSON on each line."""
    return os.environ.get(LOG_FORMAT_VARIABLE) == "json"


def tell(event: str, **fields: Any) -> None:
    """Write an event to standard error, as a line of JSON."""
    typer.echo(json.dumps({"event": event, "time": time.time(), **fields}), err=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error and end the command."""
    if events_are_json():
        tell("error", message=message)
    else:
        say(f"error: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Turn errors into one line and exit code 1, Ctrl-C and SIGTERM into one line and 130.

    With ``-vv``, the traceback precedes the line. A second Ctrl-C ends the process at once: nothing here relies on
    being closed.
    """
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (click.exceptions.Exit, click.ClickException):
        raise
    except BrokenPipeError:  # "| head" has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__context__, EOFError):
            fail("an answer is needed, and standard input has none")
        say("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if verbosity() >= _TRACEBACKS_AT:
            traceback.print_exc()
        fail(printable(describe(error), 20_000))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()


def confirm(question: str) -> bool:
    """Ask on standard error for a yes or no."""
    with question_apart():
        return typer.confirm(question, err=True)


@contextmanager
def question_apart() -> Iterator[None]:
    """Begin a new line where a question in the block is left without an answer."""
    try:
        yield
    except click.Abort:
        typer.echo(err=True)
        raise


@contextmanager
def told_if_slow(what: str) -> Iterator[None]:
    """Say what is waited for, once, if the block takes longer than some seconds."""
    timer = threading.Timer(_SLOW, lambda: say(f"{what}: waiting …", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def verbosity() -> int:
    """Return how many ``-v``s the command line has."""
    context = click.get_current_context(silent=True)
    return 0 if context is None else int(context.find_root().params.get("verbose") or 0)


def advice_for_silence() -> str:
    """Return what to do when Drive does not answer."""
    endpoint = load_endpoint()
    if not endpoint.is_emulator:
        return "look whether this machine reaches the network; a proxy is named in HTTPS_PROXY"
    port = endpoint.url.rpartition(":")[2]
    return (
        f"is the emulator running? Start it with: syft-flwr emulator --port {port}; for Google's Drive, unset "
        f"{EMULATOR_VARIABLE}"
    )


def _interrupt(number: int, *_: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end_at_once)
    raise TerminatedError if number == signal.SIGTERM else KeyboardInterrupt


def describe(error: Exception) -> str:
    """Say an error on one line, with what to do about it."""
    if isinstance(error, DriveUnavailableError):
        return f"{error}; {advice_for_silence()}"
    if isinstance(error, SyftFlwrError):
        return str(error)
    if isinstance(error, OSError):
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        return reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"
    kind = type(error).__name__
    return f"unexpected {kind}: {error}. This is a mistake in syft-flwr: please report it with what -vv shows"


def count(number: int, what: str) -> str:
    """Return a number of things: ``1 process``, ``2 processes``."""
    return f"{number:,} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"


def duration(seconds: float) -> str:
    """Return seconds as people read them: ``45 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
