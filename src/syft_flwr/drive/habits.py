"""What a probe (``syft-flwr doctor --probe``) found of how Drive treats an account, kept beside the account's state."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Self

from syft_flwr.errors import StateError
from syft_flwr.private import make_private_directory, open_private, write_private

_log = logging.getLogger(__name__)

_FILE = "habits"


@dataclass(frozen=True, slots=True)
class Habits:
    """Where no document says how Drive behaves, what is believed; without a probe, that it behaves well.

    Attributes:
        token_tells: The start token moves as soon as the feed does, and never else.
        groups_parents: A query over several parents finds the files of all.
        shows_properties: Others see the properties of this account's files.
        feed_tells_of_others: The feed shows what others write into folders that are shared.
        feed_delay: Seconds after which it does.
    """

    token_tells: bool = True
    groups_parents: bool = True
    shows_properties: bool = True
    feed_tells_of_others: bool = True
    feed_delay: float = 0.0

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what is kept in an account's state directory; what can't be read is believed as if there were none."""
        try:
            with open_private(directory / _FILE) as file:
                return cls().learned(_checked(json.loads(file.read())))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError, StateError) as error:
            _log.warning("what a probe found is not used: %s: %s", directory / _FILE, error)
        return cls()

    def keep(self, directory: Path) -> None:
        """Write it into an account's state directory, for the processes that are started from now on.

        Raises:
            OSError: It can't be written.
        """
        make_private_directory(directory)
        write_private(directory / _FILE, json.dumps(asdict(self)).encode())

    def learned(self, found: Mapping[str, bool | float]) -> Self:
        """Return this with what a probe has found."""
        return replace(self, **found)  # type: ignore[arg-type]  # its fields, by name

    def in_words(self) -> list[str]:
        """Return what is done otherwise than without a probe."""
        told = {
            "polls list the feed each time": not self.token_tells,
            "sweeps name one folder a query": not self.groups_parents,
            "small bodies are written as content only": not self.shows_properties,
            "messages are found by sweeps": not self.feed_tells_of_others,
            f"the feed is {self.feed_delay:.0f} s late": self.feed_delay >= 1.0,
        }
        return [words for words, is_so in told.items() if is_so]


def _checked(raw: Any) -> dict[str, bool | float]:
    """Return what a file holds, if it is what :meth:`Habits.keep` has written.

    Raises:
        ValueError: It is not.
    """
    usual = asdict(Habits())
    found: dict[str, Any] = {name: raw.get(name) for name in usual} if isinstance(raw, dict) else {}
    if not found or any(type(value) is not type(usual[name]) or not 0 <= value < inf for name, value in found.items()):
        raise ValueError("it is none of ours")
    return found
