"""Pair what one sender sends to two apps within 30 seconds: python join_apps.py [seconds]."""

from __future__ import annotations

import sys
from contextlib import suppress

import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops

from syft_flwr.feed import at_endpoint
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime

Pair = tuple[Message, Message]


def same_sender(pair: Pair) -> bool:
    return pair[0].sender.lower() == pair[1].sender.lower()


def pairs(
    left: Observable[Message],
    right: Observable[Message],
    seconds: float = 30.0,
    scheduler: abc.SchedulerBase | None = None,
) -> Observable[Pair]:
    """Join two streams on the sender; a message waits so many seconds for its counterpart."""

    def a_while(_: Message) -> Observable[int]:
        return rx.timer(seconds, scheduler=scheduler)

    return left.pipe(ops.join(right, a_while, a_while), ops.filter(same_sender))


def show(pair: Pair) -> None:
    print(f"{pair[0].sender} sent {pair[0].size} B of {pair[0].app} and {pair[1].size} B of {pair[1].app}", flush=True)


def main(seconds: str = "30") -> None:
    with DriveRuntime.observe() as runtime, suppress(KeyboardInterrupt):
        diabetes = runtime.messages.pipe(at_endpoint("flwr/diabetes", "updates"))
        digits = runtime.messages.pipe(at_endpoint("flwr/digits", "updates"))
        pairs(diabetes, digits, float(seconds)).subscribe(show)
        runtime.poll_once()
        print("ready", flush=True)
        runtime.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
