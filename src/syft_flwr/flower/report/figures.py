"""How numbers are read, scaled and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_LARGEST = 1e300
"""Beyond it sums and scales leave the floats."""
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_LONGEST_VALUE = 60
NOTHING = "\u2013"
"""Stands where there is no figure."""


def number(value: Any) -> float | None:
    """Return a number that can be drawn as a float; ``None`` for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST <= value <= _LARGEST else None


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps numbers linearly to coordinates, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    step: float

    @classmethod
    def nice(cls, low: float, high: float, start: float, end: float, *, count: int = 5) -> Self:
        """Make a scale whose ends are ticks, around ``low`` and ``high``; about ``count`` steps."""
        low, high = _spread(low, high)
        step = nice_step(high / count - low / count)
        first, last = math.floor(low / step), math.ceil(high / step)
        ticks = tuple(place * step for place in range(first, last + 1))
        return cls(ticks[0], ticks[-1], start, end, ticks, step)

    @classmethod
    def exact(cls, low: float, high: float, start: float, end: float, *, count: int = 5, whole: bool = False) -> Self:
        """Make a scale from ``low`` to ``high``, with round ticks between; whole numbers only on request."""
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        step = nice_step((high - low) / count)
        step = max(1.0, float(math.ceil(step))) if whole else step
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return cls(low, high, start, end, tuple(place * step for place in range(first, last + 1)), step)

    def __call__(self, value: float) -> float:
        # Halves, since the difference of two floats may be beyond the floats.
        part = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.start + part * (self.end - self.start)

    def label(self, tick: float) -> str:
        """Write a tick with as many digits as tell it from the next."""
        largest = max(abs(self.low), abs(self.high))
        if largest >= 1e6 or self.step < 1e-6:
            # As many digits as the step needs at this size.
            digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(self.step)))
            return "0" if tick == 0 else f"{tick:.{min(digits + 1, 15)}e}".replace("e+0", "e").replace("e-0", "e-")
        places = max(0, -math.floor(math.log10(self.step)))
        if not math.isclose(round(self.step, places), self.step, rel_tol=1e-6):
            places += 1  # 0.25
        return f"{tick:,.{places}f}"


def nice_step(rough: float) -> float:
    """Return the round number (1, 2, 2.5 or 5 times a power of ten) at or above ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * nice for nice in _NICE if power * nice >= rough * (1 - 1e-9))


def value_text(value: Any) -> str:
    """Write a metric's value, whatever it is; cut if it is long."""
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, list):
        text = f"[{', '.join(value_text(item) for item in value[:8])}{', …' if len(value) > 8 else ''}]"
    else:
        text = NOTHING if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def float_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.4f}"
    return f"{value:.4g}"


def listed(things: Sequence[object], most: int) -> str:
    """Write the first things, and how many more there are."""
    text = ", ".join(map(str, things[:most]))
    return text if len(things) <= most else f"{text} and {len(things) - most} more"


def bytes_text(count: float) -> str:
    """Write a number of bytes with a decimal unit."""
    size, unit = next(
        ((count / factor, unit) for factor, unit in _BYTES if count >= factor * 0.9995),  # 999.5 kB reads 1.00 MB
        (count, "B"),
    )
    return f"{size:.0f} {unit}" if size >= 99.95 or unit == "B" else f"{size:.3g} {unit}"


def seconds_text(seconds: float) -> str:
    """Write a duration as people say it."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _spread(low: float, high: float) -> tuple[float, float]:
    """Widen a range that is too narrow for ticks that floats can tell apart."""
    margin = max(max(abs(low), abs(high)) * 1e-9, 1e-300)
    if high - low > margin:
        return low, high
    middle = low / 2 + high / 2
    half = abs(middle) * 0.1 if abs(middle) > 1e-300 else 0.5
    return middle - half, middle + half
