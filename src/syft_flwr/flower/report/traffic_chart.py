"""Bytes sent and received in each round, as an SVG bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from syft_flwr.flower.report.figures import Scale, bytes_text
from syft_flwr.flower.report.markup import tag, titled
from syft_flwr.flower.report.record import Round

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, _WIDTH - 8.0, 14.0, _HEIGHT - 34.0
_WIDEST_BAR = 26.0
_CHARACTER = 7.0
KEYS = {"bytes_sent": "sent to owners", "bytes_received": "received from owners"}


def traffic_chart(rounds: Sequence[Round]) -> Element:
    """Draw two bars for each round; there must be a round."""
    largest = max(row.traffic.get(key, 0) for row in rounds for key in KEYS)
    y = Scale.nice(0.0, max(largest, 1), _BOTTOM, _TOP, count=4)
    chart = tag("svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label="Bytes per round", class_="bars")
    for tick in y.ticks:
        chart.append(tag("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=y(tick), y2=y(tick)))
        chart.append(tag("text", bytes_text(tick), class_="tick", x=_LEFT - 8, y=y(tick) + 4, text_anchor="end"))
    slot = (_RIGHT - _LEFT) / len(rounds)
    width = min(_WIDEST_BAR, slot * 0.4)
    every = label_stride([row.name for row in rounds], slot)
    for place, row in enumerate(rounds):
        middle = _LEFT + slot * (place + 0.5)
        for side, (key, name) in enumerate(KEYS.items()):
            size = row.traffic.get(key, 0)
            left = middle + (side - 1) * width
            bar = tag("rect", class_=key, x=left, y=y(size), width=width, height=_BOTTOM - y(size))
            chart.append(titled(bar, f"round {row.name}: {bytes_text(size)} {name}"))
        if place % every == 0:
            chart.append(tag("text", row.name[:12], class_="tick", x=middle, y=_BOTTOM + 16, text_anchor="middle"))
    chart.append(tag("line", class_="axis", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM))
    chart.append(tag("text", "round", class_="unit", x=(_LEFT + _RIGHT) / 2, y=_HEIGHT - 4.0, text_anchor="middle"))
    return chart


def label_stride(names: Sequence[str], slot: float) -> int:
    """Return that every so-manieth label fits, if each has ``slot`` units of room."""
    longest = max(min(len(name), 12) for name in names)
    room = longest * _CHARACTER + 4
    return next(stride for stride in (1, 2, 5, 10, 20, 50, 100, 1000, 1 << 30) if stride * slot >= room)
