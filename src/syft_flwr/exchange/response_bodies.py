"""What the answers to this account's requests say: fetched when somebody asks, and kept on disk until forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from syft_flwr import wire
from syft_flwr.errors import (
    DamagedDownloadError,
    DriveError,
    DriveUnavailableError,
    NotFoundError,
    RateLimitedError,
    UnansweredError,
)
from syft_flwr.exchange.parts import Parts
from syft_flwr.printable import printable_error
from syft_flwr.state.bodies import as_state_error
from syft_flwr.state.futures import Response


class Replies(dict[str, bytes]):
    """Future ID to body of the replies that have come; those that are missing raise ``UnansweredError``."""

    def __init__(self, wanted: Sequence[str]) -> None:
        super().__init__()
        self._wanted = wanted

    def __missing__(self, future_id: str) -> bytes:
        missing = [wanted for wanted in self._wanted if wanted not in self]
        raise UnansweredError(missing if future_id in missing else [future_id])


class ResponseBodies:
    """The replies' bodies of one account. Thread-safe."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def several(self, future_ids: Iterable[str]) -> Iterator[tuple[str, bytes, bool]]:
        """Yield future ID, body and whether it is an error reply of the futures that are answered, in this order.

        What can't be downloaded at the moment is passed over and reported.

        Raises:
            DriveError: None of them could be downloaded.
        """
        wanted = list(future_ids)
        futures = self._parts.ledger.futures.get(wanted)
        answered = [(future_id, futures[future_id].response) for future_id in wanted if future_id in futures]
        there = [(future_id, response) for future_id, response in answered if response is not None]
        downloads = [(future_id, self._parts.pool.submit(self._body, response)) for future_id, response in there]
        failure, given = None, 0
        for future_id, download in downloads:
            try:
                body, is_error = download.result()
            except DriveError as error:
                self._parts.streams.report("downloading a reply", error)
                failure = failure or error
            else:
                given += 1
                yield future_id, body, is_error
        if failure is not None and not given:
            raise failure

    def one(self, future_id: str) -> tuple[bytes, bool] | None:
        """Return body and whether it is an error reply; ``None`` when there is no answer."""
        future = self._parts.ledger.futures.get([future_id]).get(future_id)
        if future is None or future.response is None:
            return None
        return self._body(future.response)

    def load(self, response: Response) -> bytes:
        """Return a reply's body.

        Raises:
            DriveError: It can't be had.
            StateError: It can't be written.
        """
        kept = self._parts.bodies.path(_name(response))
        if (body := _intact(kept, response)) is not None:
            return body
        partial = self._parts.bodies.partial(kept.name)
        with as_state_error("keep", kept):
            try:
                self._parts.fetch_body(response, partial)
                body = partial.read_bytes()
                partial.replace(kept)
            finally:
                partial.unlink(missing_ok=True)
        return body

    def delete(self, response: Response) -> None:
        """Delete the local copy of a reply's body, if there is one."""
        self._parts.bodies.delete(_name(response))

    def kept(self) -> set[str]:
        """Return the names of the bodies that are still needed."""
        answered = (future.response for future in self._parts.ledger.futures.all())
        return {_name(response) for response in answered if response is not None}

    def _body(self, response: Response) -> tuple[bytes, bool]:
        """Return a reply's body and whether it is an error; where its sender made off with it, our word for that.

        Raises:
            DriveUnavailableError, RateLimitedError: It can't be downloaded at the moment.
        """
        try:
            return self.load(response), response.is_error
        except DamagedDownloadError:
            if not self._is_altered(response):
                raise
            return wire.error_body("the reply was altered after it had come", self._parts.clock.time()), True
        except (DriveUnavailableError, RateLimitedError):
            raise
        except DriveError as error:  # deleted, refused: it will not come back by itself
            told = f"the reply can't be had: {printable_error(error)}"
            return wire.error_body(told, self._parts.clock.time()), True

    def _is_altered(self, response: Response) -> bool:
        """Tell whether Drive by now says that a reply has other content than it had when it came."""
        try:
            file = self._parts.gateway.get_file(response.file_id)
        except NotFoundError:
            return True
        except DriveError:
            return False
        return (file.size, file.sha256) != (response.size, response.sha256)


def _name(response: Response) -> str:
    return f"response-{response.file_id}"


def _intact(kept: Path, response: Response) -> bytes | None:
    """Return a body that was downloaded before, or ``None``: it is not synced, so a power cut may have damaged it."""
    try:
        body = kept.read_bytes()
    except OSError:  # it is not there, or can't be read
        return None
    damaged = response.sha256 is not None and hashlib.sha256(body).hexdigest() != response.sha256
    return None if damaged or len(body) != response.size else body
