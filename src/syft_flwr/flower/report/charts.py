"""Charts over the rounds as SVG: one metric as a line, the bytes sent and received as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from syft_flwr.flower.report.figures import Scale, bytes_text, float_text, number, value_text
from syft_flwr.flower.report.markup import tag, titled
from syft_flwr.flower.report.record import Round

_WIDTH, _HEIGHT = 360, 210
_TOP, _BOTTOM = 14.0, _HEIGHT - 34.0
_TICK_CHARACTER, _BOLD_CHARACTER = 7.0, 8.0
"""Widths in a wide font; which one the reader has is unknown."""

_MOST_DOTS = 60
_BARS_WIDTH, _BARS_HEIGHT = 560, 240
_BARS_LEFT, _BARS_RIGHT, _BARS_BOTTOM = 64.0, _BARS_WIDTH - 8.0, _BARS_HEIGHT - 34.0
_WIDEST_BAR = 26.0
KEYS = {"bytes_sent": "sent to owners", "bytes_received": "received from owners"}


def line_chart(series: Mapping[int, Any], first: int, last: int, *, color: str, label: str) -> Element | None:
    """Draw a metric's values; what is missing or can't be drawn leaves a gap.

    Args:
        series: Value by round.
        first: First round of the run; the x axis begins here.
        last: Last round of the run.
        color: CSS class that names the color.
        label: What the chart shows, for screen readers.

    Returns:
        The chart; ``None`` if no value can be drawn.
    """
    points = {place: value for place, raw in sorted(series.items()) if (value := number(raw)) is not None}
    if not points:
        return None
    final = max(points)
    told = float_text(points[final])
    y = Scale.nice(min(points.values()), max(points.values()), _BOTTOM, _TOP, count=4)
    left = 12.0 + _TICK_CHARACTER * max(len(y.label(tick)) for tick in y.ticks)
    right = _WIDTH - 10.0 - _BOLD_CHARACTER * len(told)  # the value stands beside the last point
    x = Scale.exact(first, last, left, right, whole=True)
    chart = tag("svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label, class_=f"line {color}")
    chart.extend(_axes(x, y))
    chart.append(tag("path", class_="trace", d=_path(points, x, y)))
    dots = points if len(points) <= _MOST_DOTS else _ends(points)
    for place, value in dots.items():
        dot = tag("circle", class_="dot", cx=x(place), cy=y(value), r=3)
        chart.append(titled(dot, f"round {place}: {value_text(series[place])}"))
    chart.append(tag("text", told, class_="final", x=x(final) + 8, y=y(points[final]) + 4))
    return chart


def gaps(series: Mapping[int, Any]) -> list[int]:
    """Return the rounds whose value is a number that can't be drawn: infinite, none at all, or too large."""
    return [place for place, raw in sorted(series.items()) if isinstance(raw, float) and number(raw) is None]


def _axes(x: Scale, y: Scale) -> list[Element]:
    parts: list[Element] = []
    for tick in y.ticks:
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.end, y1=y(tick), y2=y(tick)))
        parts.append(tag("text", y.label(tick), class_="tick", x=x.start - 8, y=y(tick) + 4, text_anchor="end"))
    parts.append(tag("line", class_="axis", x1=x.start, x2=x.end, y1=_BOTTOM, y2=_BOTTOM))
    for tick in x.ticks:
        parts.append(tag("line", class_="axis", x1=x(tick), x2=x(tick), y1=_BOTTOM, y2=_BOTTOM + 4))
        parts.append(tag("text", f"{tick:.0f}", class_="tick", x=x(tick), y=_BOTTOM + 16, text_anchor="middle"))
    parts.append(tag("text", "round", class_="unit", x=(x.start + x.end) / 2, y=_HEIGHT - 4.0, text_anchor="middle"))
    return parts


def _path(points: Mapping[int, float], x: Scale, y: Scale) -> str:
    return " ".join(
        f"{'L' if place - 1 in points else 'M'}{x(place):.1f} {y(value):.1f}" for place, value in points.items()
    )


def _ends(points: Mapping[int, float]) -> dict[int, float]:
    """Return the points that no line shows, or where one ends."""
    return {k: v for k, v in points.items() if k - 1 not in points or k + 1 not in points}


def traffic_chart(rounds: Sequence[Round]) -> Element:
    """Draw two bars for each round; there must be a round."""
    largest = max(row.traffic.get(key, 0) for row in rounds for key in KEYS)
    y = Scale.nice(0.0, max(largest, 1), _BARS_BOTTOM, _TOP, count=4)
    chart = tag(
        "svg", viewBox=f"0 0 {_BARS_WIDTH} {_BARS_HEIGHT}", role="img", aria_label="Bytes per round", class_="bars"
    )
    for tick in y.ticks:
        chart.append(tag("line", class_="grid", x1=_BARS_LEFT, x2=_BARS_RIGHT, y1=y(tick), y2=y(tick)))
        chart.append(tag("text", bytes_text(tick), class_="tick", x=_BARS_LEFT - 8, y=y(tick) + 4, text_anchor="end"))
    slot = (_BARS_RIGHT - _BARS_LEFT) / len(rounds)
    width = min(_WIDEST_BAR, slot * 0.4)
    every = label_stride([row.name for row in rounds], slot)
    for place, row in enumerate(rounds):
        middle = _BARS_LEFT + slot * (place + 0.5)
        for side, (key, name) in enumerate(KEYS.items()):
            size = row.traffic.get(key, 0)
            left = middle + (side - 1) * width
            bar = tag("rect", class_=key, x=left, y=y(size), width=width, height=_BARS_BOTTOM - y(size))
            chart.append(titled(bar, f"round {row.name}: {bytes_text(size)} {name}"))
        if place % every == 0:
            chart.append(tag("text", row.name[:12], class_="tick", x=middle, y=_BARS_BOTTOM + 16, text_anchor="middle"))
    chart.append(tag("line", class_="axis", x1=_BARS_LEFT, x2=_BARS_RIGHT, y1=_BARS_BOTTOM, y2=_BARS_BOTTOM))
    chart.append(
        tag(
            "text", "round", class_="unit", x=(_BARS_LEFT + _BARS_RIGHT) / 2, y=_BARS_HEIGHT - 4.0, text_anchor="middle"
        )
    )
    return chart


def label_stride(names: Sequence[str], slot: float) -> int:
    """Return that every so-manieth label fits, if each has ``slot`` units of room."""
    longest = max(min(len(name), 12) for name in names)
    room = longest * _TICK_CHARACTER + 4
    return next(stride for stride in (1, 2, 5, 10, 20, 50, 100, 1000, 1 << 30) if stride * slot >= room)
