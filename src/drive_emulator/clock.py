"""The emulator's clock: real time, plus what a test has advanced it by."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
"""The last millisecond that a timestamp can tell, of the year 9999."""


class EmulatorClock:
    """Unix time in seconds that a test can push forward; it never goes back."""

    def __init__(self) -> None:
        self._offset = 0.0

    def time(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ValueError: ``seconds`` is negative or not finite.
        """
        if not 0 <= seconds < 1e10:
            raise ValueError("the clock only goes forward")
        self._offset += seconds

    def http_date(self) -> bytes:
        """Return the header ``Date``."""
        return _http_date(int(self.time()))

    def milliseconds(self) -> int:
        return int(self.time() * 1000)


@lru_cache(maxsize=1)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


@lru_cache(maxsize=8192)
def to_timestamp(milliseconds: int) -> str:
    """Return RFC 3339 in UTC, as Drive sends it: ``2024-05-01T12:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_timestamp(text: str) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 time; without an offset it is UTC.

    Raises:
        ValueError: The text is no RFC 3339 time between the years 1 and 9999.
    """
    if "T" not in text.upper():
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    moment = datetime.fromisoformat(text.upper())
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    try:
        to_timestamp(milliseconds)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    return milliseconds
