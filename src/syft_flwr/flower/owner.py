"""The data owner's loop: takes the aggregator's messages, runs the ClientApp, returns its replies."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from syft_flwr.errors import SyftFlwrError
from syft_flwr.flower._compat import (
    FLWR_VERSION,
    Context,
    ErrorCode,
    Message,
    RecordDict,
    context_from_bytes,
    context_to_bytes,
    crash_code,
    set_message_id,
)
from syft_flwr.flower.admission import Action, Situation, decide, run_tag
from syft_flwr.flower.app_host import AppHost
from syft_flwr.flower.codec import Stamp, decode_head, encode, redate, round_of, splice
from syft_flwr.flower.job import Outcome, Task, failure_reply
from syft_flwr.flower.node import node_id
from syft_flwr.flower.object_cache import ObjectCache
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.progress import Progress, silent
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import DISPOSABLE, ENDPOINT, OBJECTS, PRESENCE, PRESENCE_ENDPOINT, Events
from syft_flwr.models import Message as WireMessage
from syft_flwr.printable import printable

logger = logging.getLogger(__name__)

_CLOCK_TOLERANCE = 5.0


class DataOwner:
    """Serves one app on one account until its run is over.

    The messages of a run are handled one after the other: each gets the Context as the one before left it.
    """

    def __init__(
        self,
        config: OwnerConfig,
        events: Events,
        apps: AppHost,
        store: RunStore,
        *,
        drive_time: Callable[[], float] = time.time,
        progress: Progress = silent,
    ) -> None:
        """Connect the parts, once Drive has told its time.

        Args:
            config: Who this is.
            events: Receives requests, from the aggregator only; stopped by the run's stop message.
            apps: Runs the app.
            store: Keeps Contexts.
            drive_time: Drive's clock (Unix seconds), which also dates the messages: participants' clocks differ.
            progress: Gets ``ready``, ``working``, ``done``, ``ignored``, ``overrides`` and ``stopped`` events.
        """
        self._config = config
        self._node = node_id(config.email)
        self._events = events
        self._apps = apps
        self._store = store
        self._drive_time = drive_time
        self._progress = progress
        self._started = drive_time()
        self._run = store.current()
        if self._run is not None and self._run.started > self._started:  # of an aggregator whose clock was ahead
            self._run = replace(self._run, started=self._started)
        self._warned: set[str] = set()
        self._objects = ObjectCache(store, events)
        self._overrides: dict[str, bool] = {}
        events.on_request(ENDPOINT, self.handle, with_message=True)
        events.on_request(PRESENCE_ENDPOINT, lambda _body, _wire: b"here", with_message=True)

    def run_forever(self) -> None:
        """Serve messages; returns when the run's stop message came or the events were stopped."""
        self._progress("ready", owner=self._config.email)
        self._events.run_forever()

    def run_once(self, timeout: float | None) -> bool:
        """Answer the messages that wait, for ``timeout`` seconds at most; return whether all are answered."""
        self._progress("ready", owner=self._config.email)
        return self._events.drain(timeout)

    def handle(self, body: bytes, wire: WireMessage) -> bytes | None:
        """Handle one request and return the reply's bytes, if there is to be one.

        Raises:
            FlowerError: The body is no Flower message; the transport tells the sender.
        """
        seen = time.time()
        message, stamp = decode_head(body)
        now = self._drive_time()
        situation = Situation(
            node=self._node,
            run=self._run,
            age=max(0.0, now - _written_at(wire, message)),  # Drive tells its time in whole seconds
            uptime=now - self._started,
            now=now,
        )
        verdict = decide(message, stamp, situation)
        if verdict.action is Action.IGNORE:
            self._ignore(message, verdict.reason)
            return None
        if verdict.action is Action.REFUSE:
            return self._refuse(message, verdict.reason, seen)
        if verdict.action is Action.STOP:
            return self._stop(message, seen)
        if overrides := self._not_approved(stamp):
            return self._refuse(message, f"this owner has not approved the run config {printable(overrides)}", seen)
        self._serve(message, stamp, situation)
        if verdict.action is Action.GREET:
            # Who says that it is there is given work, and a strategy's timeout begins.
            self._apps.warm_up()
            abilities = (DISPOSABLE, OBJECTS, *([PRESENCE] if self._config.stays else []))
            return encode(_acknowledge(message), replace(self._stamp(seen), can=abilities))
        return self._run_app(message, stamp, body, seen, situation.age)

    def _run_app(self, message: Message, stamp: Stamp, body: bytes, seen: float, age: float) -> bytes:
        metadata = message.metadata
        labels = {"owner": self._config.email, "type": printable(metadata.message_type), "group": round_of(message)}
        if (known := self._store.reply_to(metadata.run_id, metadata.message_id)) is not None:
            logger.info("message %s was answered before; sending the same reply", metadata.message_id[:16])
            return known
        if abs(metadata.created_at - (seen - age)) > _CLOCK_TOLERANCE:
            # The app derives its reply's ttl from this clock; the aggregator's differs.
            body = redate(body, seen - age)
        own = self._stamp(seen)
        try:
            pieces = splice(body, self._objects.fetch(metadata.run_id, stamp.objects)) if stamp.objects else [body]
        except (SyftFlwrError, OSError) as error:
            reason = f"the arrays of the message can't be had: {error}"
            self._ignore(message, reason)
            return encode(
                failure_reply(message, ErrorCode.MESSAGE_UNAVAILABLE, reason), replace(own, lacks_objects=True)
            )
        self._progress("working", **labels)
        started = time.time()
        context = self._context(metadata.run_id, stamp)
        outcome = self._apps.run(Task(pieces, context, own), metadata.ttl - age)
        finished = time.time()
        if outcome.crash:
            logger.error("message %s: %s", metadata.message_id[:16], outcome.crash)
            failed = failure_reply(message, crash_code(), outcome.crash)
            stamp = replace(own, started=started, finished=finished)
            outcome = Outcome(encode(failed, stamp), context, error=outcome.crash)
        self._store.save(metadata.run_id, metadata.message_id, outcome.context, outcome.reply)
        size, seconds = len(outcome.reply), finished - started
        self._progress("done", **labels, seconds=seconds, error=outcome.error, bytes=size)
        return outcome.reply

    def _serve(self, message: Message, stamp: Stamp, situation: Situation) -> None:
        """Take a message's run as the one that is served."""
        tag = run_tag(message, stamp, situation)
        if self._run is None or self._run.run_id != tag.run_id:
            if self._run is not None:
                logger.info("run %d replaces run %d", tag.run_id, self._run.run_id)
            self._run = tag
            self._store.set_current(tag)
        if stamp.flwr and stamp.flwr != FLWR_VERSION:
            self._warn(
                f"the aggregator runs flwr {stamp.flwr}, this owner {FLWR_VERSION}; install the same if it fails"
            )
        if stamp.project and self._config.project_hash and stamp.project != self._config.project_hash:
            self._warn(
                f"the aggregator runs another state of the project ({stamp.project[:12]}) than is here "
                f"({self._config.project_hash[:12]}); this owner runs what is here"
            )

    def _stop(self, message: Message, seen: float) -> bytes:
        run_id = message.metadata.run_id
        config = message.content.config_records.get("config") if message.has_content() else None
        reason = "" if config is None else printable(config.get("reason", ""))
        logger.info("run %d is over: %s", run_id, reason)
        self._store.forget(run_id)
        self._events.disposable(str(run_id)).dispose()
        self._progress("stopped", owner=self._config.email, reason=reason)
        self._events.stop()
        return encode(_acknowledge(message), self._stamp(seen))

    def _context(self, run_id: int, stamp: Stamp) -> bytes:
        """Return the run's Context: its state from disk, its configuration as it is now."""
        saved = self._store.context(run_id)
        state = RecordDict() if saved is None else context_from_bytes(saved).state
        if unknown := set(stamp.run_config) - set(self._config.run_config):
            self._warn(
                f"run-config keys that only the aggregator's project has: {printable(', '.join(sorted(unknown)))}"
            )
        config = self._config.merged(stamp.run_config)
        return context_to_bytes(Context(run_id, self._node, dict(self._config.node_config), state, config))

    def _stamp(self, seen: float) -> Stamp:
        return Stamp(flwr=FLWR_VERSION, project=self._config.project_hash, seen=seen)

    def _not_approved(self, stamp: Stamp) -> str:
        """Return those of the aggregator's changes of the run config that would take effect and may not, as text."""
        if not (config := self._config.changes(stamp.run_config)):
            return ""
        text = json.dumps(config, sort_keys=True)
        if text not in self._overrides:
            self._progress("overrides", owner=self._config.email, run_config=config)
            self._overrides[text] = self._config.lets_override(config)
        return "" if self._overrides[text] else text

    def _refuse(self, message: Message, reason: str, seen: float) -> bytes:
        self._ignore(message, reason)
        reply = failure_reply(message, ErrorCode.MESSAGE_UNAVAILABLE, f"the message was refused: {reason}")
        return encode(reply, self._stamp(seen))

    def _ignore(self, message: Message, reason: str) -> None:
        kind, reason = printable(message.metadata.message_type), printable(reason)
        logger.warning("a %s message is not acted on: %s", kind, reason)
        self._progress("ignored", owner=self._config.email, type=kind, reason=reason)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", text)


def _acknowledge(message: Message) -> Message:
    reply = Message(RecordDict(), reply_to=message)
    set_message_id(reply, message.metadata.message_id)
    return reply


def _written_at(wire: WireMessage, message: Message) -> float:
    """Return when a request was written, by Drive's clock if it says so."""
    if not wire.created_time:
        return message.metadata.created_at
    return datetime.fromisoformat(wire.created_time).timestamp()
