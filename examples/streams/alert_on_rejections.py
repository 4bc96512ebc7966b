"""Alert on rejected messages, once in ten minutes for each owner and reason: alert_on_rejections.py [seconds]."""

from __future__ import annotations

import sys
from contextlib import suppress

import reactivex as rx
from reactivex import GroupedObservable, Observable, abc
from reactivex import operators as ops

from syft_flwr.models import Rejection
from syft_flwr.runtime import DriveRuntime


def subject_of(rejection: Rejection) -> tuple[str, str]:
    return rejection.owner.lower(), str(rejection.reason)


def itself(rejection: Rejection) -> Rejection:
    return rejection


def alert(rejection: Rejection) -> str:
    claim = f", in the name of {rejection.claimed_sender}" if rejection.claimed_sender != rejection.owner else ""
    return f"{rejection.owner}{claim}: {rejection.reason} ({rejection.detail})"


def alerts(
    rejected: Observable[Rejection], seconds: float = 600.0, scheduler: abc.SchedulerBase | None = None
) -> Observable[str]:
    """Tell of the first rejection of each kind in so many seconds."""

    def a_while(_: GroupedObservable[tuple[str, str], Rejection]) -> Observable[int]:
        return rx.timer(seconds, scheduler=scheduler)

    def first(group: GroupedObservable[tuple[str, str], Rejection]) -> Observable[Rejection]:
        return group.pipe(ops.take(1))

    return rejected.pipe(ops.group_by_until(subject_of, itself, a_while), ops.flat_map(first), ops.map(alert))


def main(seconds: str = "600") -> None:
    with DriveRuntime.observe() as runtime, suppress(KeyboardInterrupt):
        alerts(runtime.rejected, float(seconds)).subscribe(lambda text: print(f"ALERT {text}", flush=True))
        runtime.poll_once()
        print("ready", flush=True)
        runtime.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
