"""What all commands share: how errors end them, and how things are printed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error and end the command."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Turn our errors into one line and exit code 1, Ctrl-C and SIGTERM into 130."""
    from syft_flwr.errors import SyftFlwrError
    from syft_flwr.printable import printable

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except SyftFlwrError as error:
        fail(printable(error, 20_000))
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stdout.flush()
