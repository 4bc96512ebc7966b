"""Faults on purpose: what goes wrong, for whom, how often. The decision is here; the server carries it out."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from drive_emulator.alterations import Alteration
from drive_emulator.errors import ApiError, unauthenticated
from drive_emulator.quota import RateLimiter

FaultKind = Literal["error", "reset", "close", "latency", "bandwidth", "rate_limit", "alter"]
Moment = Literal["before", "during", "after"]
End = Literal["reset", "close"]

_REASONS = {
    400: ("invalid", "Invalid Value"),
    403: (
        "userRateLimitExceeded",
        "User Rate Limit Exceeded. Rate of requests for user exceed configured project quota.",
    ),
    404: ("notFound", "File not found: ."),
    410: ("gone", "The resource is gone."),
    429: ("rateLimitExceeded", "Rate Limit Exceeded"),
    500: ("internalError", "Internal Error"),
    502: ("backendError", "Bad Gateway"),
    503: ("backendError", "Transient failure"),
    504: ("backendError", "Deadline exceeded"),
}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: ``error`` answers with a status; ``reset`` breaks the connection off, ``close`` closes it in good order
            without an answer; ``latency`` waits; ``bandwidth`` slows bodies down; ``rate_limit`` refuses what exceeds
            ``units_per_minute``; ``alter`` changes a file behind the caller's back.
        method: As Drive names it (``"files.create"``), or ``None`` for every method.
        account: Whose calls, or ``None`` for everyone's.
        file_id: Calls on which file, or ``None`` for all.
        rate: Probability for each call that fits.
        times: How many times it strikes before it is used up; ``None`` for no end.
        when: For ``error``, ``reset``, ``close`` and ``alter``: before the call took effect, or after it was applied. A
            ``reset`` or ``close`` can also come during a transfer, when half of the body is through.
        status: Of an ``error`` (503 by default) and of a call beyond the ``rate_limit`` (403 by default).
        reason: Likewise; Drive's usual one for the status by default.
        location: The parameter that an ``error`` blames.
        retry_after: Seconds to put into ``Retry-After``.
        seconds: Of ``latency``.
        jitter: Seconds of ``latency`` at random on top.
        bytes_per_second: Of ``bandwidth``.
        units_per_minute: Of ``rate_limit``, for each account.
        target: The file that ``alter`` changes; the call's own by default.
        metadata: Of ``alter``, with ``content``, ``owner`` and ``by``: see
            :class:`drive_emulator.alterations.Alteration`.
    """

    kind: FaultKind
    method: str | None = None
    account: str | None = None
    file_id: str | None = None
    rate: float = 1.0
    times: int | None = None
    when: Moment = "before"
    status: int | None = None
    reason: str | None = None
    location: str | None = None
    retry_after: int | None = None
    seconds: float = 0.0
    jitter: float = 0.0
    bytes_per_second: int = 1_000_000
    units_per_minute: int = 325_000
    target: str | None = None
    metadata: dict[str, Any] | None = None
    content: str | None = None
    owner: str | None = None
    by: str | None = None

    def fits(self, method: str, account: str, file_id: str | None) -> bool:
        return (
            self.times != 0
            and self.method in (None, method)
            and (self.account or account).lower() == account
            and self.file_id in (None, file_id)
        )

    def alteration(self) -> Alteration:
        return Alteration(self.metadata, self.content, self.owner, self.by)

    def error(self) -> ApiError:
        """Return the answer of an ``error`` or of a call beyond the ``rate_limit``."""
        status = self.status or (403 if self.kind == "rate_limit" else 503)
        if status == 401:
            return unauthenticated()
        usual, message = _REASONS.get(status, ("unknown", "Error"))
        reason = self.reason or usual
        return ApiError(
            status,
            reason,
            message if reason == usual else reason,
            location=self.location,
            domain="usageLimits" if reason.lower().endswith("limitexceeded") else "global",
            headers={} if self.retry_after is None else {"Retry-After": str(self.retry_after)},
        )


@dataclass(slots=True)
class Plan:
    """What goes wrong with one call: instead of it, half-way through its body, or instead of the answer."""

    delay: float = 0.0
    bytes_per_second: int | None = None
    before: ApiError | End | None = None
    during: End | None = None
    after: ApiError | End | None = None
    alterations: list[Fault] = field(default_factory=list)


class Faults:
    """The faults in force. With the same seed and the same calls, the same goes wrong."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._next = 1
        self._random = random.Random(0)  # noqa: S311 - repeatable, not secret
        self._limiter = RateLimiter()

    def seed(self, seed: int) -> None:
        self._random.seed(seed)

    def add(self, fault: Fault) -> int:
        """Put a fault in force and return a number by which to remove it."""
        number, self._next = self._next, self._next + 1
        self._faults[number] = fault
        return number

    def remove(self, number: int) -> None:
        self._faults.pop(number, None)

    def clear(self) -> None:
        self._faults.clear()
        self._limiter.clear()

    def list(self) -> list[dict[str, Any]]:
        return [{"id": number, **asdict(fault)} for number, fault in self._faults.items()]

    def plan(self, method: str, account: str, units: int, now: float, file_id: str | None = None) -> Plan:
        """Decide what goes wrong with a call; the first fault that strikes decides how it ends."""
        plan = Plan()
        for fault in self._faults.values():
            if not fault.fits(method, account, file_id) or (fault.rate < 1 and self._random.random() >= fault.rate):
                continue
            if fault.kind == "rate_limit":
                if plan.before is None and not self._limiter.spend(account, units, fault.units_per_minute, now):
                    plan.before = fault.error()
                continue
            if not self._strike(fault, plan):
                continue
            fault.times = None if fault.times is None else fault.times - 1
        return plan

    def _strike(self, fault: Fault, plan: Plan) -> bool:
        if fault.kind == "latency":
            plan.delay += fault.seconds + self._random.random() * fault.jitter
        elif fault.kind == "bandwidth":
            plan.bytes_per_second = min(plan.bytes_per_second or fault.bytes_per_second, fault.bytes_per_second)
        elif fault.kind == "alter":
            plan.alterations.append(fault)
        elif plan.before is not None or plan.during is not None or plan.after is not None:
            return False
        elif fault.kind == "error":
            if fault.when == "before":
                plan.before = fault.error()
            else:
                plan.after = fault.error()
        elif fault.kind != "rate_limit":
            setattr(plan, fault.when, fault.kind)
        return True
