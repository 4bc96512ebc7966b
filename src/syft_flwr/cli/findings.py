"""What a step of the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Standing = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found, and unless all is well, what to do next."""

    standing: Standing
    found: str
    advice: str = ""


def ok(found: str) -> Finding:
    return Finding("ok", found)


def warning(found: str, advice: str) -> Finding:
    return Finding("warning", found, advice)


def failed(found: str, advice: str) -> Finding:
    return Finding("failed", found, advice)
