"""A live counter of bytes per sender and minute: python bytes_per_sender.py [seconds]."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import suppress

from reactivex import Observable, abc
from reactivex import operators as ops

from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime


def count(batch: list[Message]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for message in batch:
        totals[message.sender] += message.size
    return totals


def bytes_per_sender(
    messages: Observable[Message], seconds: float = 60.0, scheduler: abc.SchedulerBase | None = None
) -> Observable[Counter[str]]:
    """Sum up the bytes of each sender, minute by minute."""
    return messages.pipe(ops.buffer_with_time(seconds, scheduler=scheduler), ops.map(count))


def show(totals: Counter[str]) -> None:
    print(", ".join(f"{sender}: {size} B" for sender, size in totals.most_common()) or "nothing", flush=True)


def main(seconds: str = "60") -> None:
    with DriveRuntime.observe() as runtime, suppress(KeyboardInterrupt):
        bytes_per_sender(runtime.messages, float(seconds)).subscribe(show)
        runtime.poll_once()
        print("ready", flush=True)
        runtime.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
