"""Of a burst of requests take each sender's newest, once it is quiet: python newest_request.py [seconds]."""

from __future__ import annotations

import sys
from contextlib import suppress

from reactivex import GroupedObservable, Observable, abc
from reactivex import operators as ops

from syft_flwr.feed import requests
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime


def sender_of(message: Message) -> str:
    return message.sender.lower()


def itself(message: Message) -> Message:
    return message


def newest(
    messages: Observable[Message], seconds: float = 2.0, scheduler: abc.SchedulerBase | None = None
) -> Observable[Message]:
    """Wait until a sender has been quiet for so long; give its last request, and forget the sender."""

    def quiet(burst: GroupedObservable[str, Message]) -> Observable[Message]:
        return burst.pipe(ops.debounce(seconds, scheduler=scheduler))

    def last(burst: GroupedObservable[str, Message]) -> Observable[Message]:
        return burst.pipe(ops.last())

    return messages.pipe(requests, ops.group_by_until(sender_of, itself, quiet), ops.flat_map(last))


def show(message: Message) -> None:
    print(f"newest of {message.sender}: {message.future_id}", flush=True)


def main(seconds: str = "2") -> None:
    with DriveRuntime.observe() as runtime, suppress(KeyboardInterrupt):
        newest(runtime.messages, float(seconds)).subscribe(show)
        runtime.poll_once()
        print("ready", flush=True)
        runtime.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
