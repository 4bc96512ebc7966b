"""Train when updates of k owners have come, or 30 seconds after the first one: python train_on_quorum.py 3 30."""

from __future__ import annotations

import sys
from contextlib import suppress

import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops

from syft_flwr.feed import at_endpoint
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime


def sender_of(message: Message) -> str:
    return message.sender.lower()


def rounds(
    updates: Observable[Message], owners: int, seconds: float, scheduler: abc.SchedulerBase | None = None
) -> Observable[list[Message]]:
    """Gather updates until they are from so many owners, or so many seconds have passed since the first."""

    def timer(_: Message) -> Observable[int]:
        return rx.timer(seconds, scheduler=scheduler)

    def closing() -> Observable[int | Message]:
        quorum = updates.pipe(ops.distinct(sender_of), ops.skip(owners - 1))
        late = updates.pipe(ops.take(1), ops.flat_map(timer))
        return rx.merge(quorum, late)

    def has_any(batch: list[Message]) -> bool:
        return bool(batch)

    return updates.pipe(ops.buffer_when(closing), ops.filter(has_any))


def train(batch: list[Message]) -> None:
    print(f"train on {len(batch)} updates of {', '.join(sorted({m.sender for m in batch}))}", flush=True)


def main(owners: str = "3", seconds: str = "30") -> None:
    with DriveRuntime.observe() as runtime, suppress(KeyboardInterrupt):
        updates = runtime.messages.pipe(at_endpoint("flwr/diabetes", "updates"))
        rounds(updates, int(owners), float(seconds)).subscribe(train)
        runtime.poll_once()
        print("ready", flush=True)
        runtime.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
