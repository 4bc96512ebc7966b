"""Every error this package raises.

::

    SyftFlwrError
    ├── ConfigurationError            a setting, a project file or a role is wrong
    │   └── CredentialsError          no usable credentials; the message says how to get some
    ├── InvalidNameError              (also ValueError) a name that can't go on the wire
    ├── DriveError                    Drive answered with an error; has .status and .reason
    │   ├── NotFoundError             404: gone, or not visible to this account
    │   ├── ConflictError             409: the reserved ID is already in use
    │   ├── PageTokenRejectedError    400, 404 or 410 for a page token
    │   ├── PermissionDeniedError     403 that no retry will change
    │   ├── RateLimitedError          403 or 429 for too many calls; retried before you see it
    │   ├── StorageQuotaError         the account has no room (or, a service account, no storage at all)
    │   ├── PartlySentError           some of several requests could not be sent; has .sent and .errors
    │   └── DriveUnavailableError     5xx, no connection, or an answer that is none of Drive's; retried before
    │       │                         you see it
    │       ├── ListingError          pages that lead nowhere: their tokens go in circles, or they stay empty
    │       └── DamagedDownloadError  (also TransferError) a download that contradicts Drive's metadata; has .sha256
    ├── TransferError                 a body that arrived damaged, or too large to take
    ├── StateError                    the state directory can't be used
    │   └── StateMismatchError        it belongs to another account or another Drive
    ├── RuntimeClosedError            the runtime was closed while, or before, this was asked of it
    ├── RemoteHandlerError            the peer's handler failed; .body holds its error reply
    ├── UnansweredError               (also KeyError) a future has no reply yet; has .future_ids
    ├── RecordingError                a recorded feed that can't be read; has .line
    └── FlowerError                   a Flower project or app that can't run here
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from syft_flwr.printable import printable


class SyftFlwrError(Exception):
    """Root of all errors of this package."""


class ConfigurationError(SyftFlwrError):
    """A setting, a project file or a role is missing or wrong."""


class CredentialsError(ConfigurationError):
    """No usable credentials for the account; the message says what to do."""


class InvalidNameError(SyftFlwrError, ValueError):
    """An address, app name, endpoint or future ID that can't be put on the wire."""


class DriveError(SyftFlwrError):
    """Drive answered with an error.

    Attributes:
        status: HTTP status, or ``None`` when there was no answer.
        reason: Drive's machine-readable reason (``"notFound"``), or ``""``.
        retry_after: Seconds that Drive asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFoundError(DriveError):
    """404: the file is gone, or this account can't see it."""


class ConflictError(DriveError):
    """409: a file with this reserved ID exists already."""


class PageTokenRejectedError(DriveError):
    """Drive refuses the page token (400, 404 or 410); only a new start token helps."""


class PermissionDeniedError(DriveError):
    """403 for a reason that no retry will change."""


class RateLimitedError(DriveError):
    """403 or 429: too many calls. Raised only when the retries are used up."""


class StorageQuotaError(DriveError):
    """The account can't store more; the message says what to do."""


class DriveUnavailableError(DriveError):
    """5xx, a broken connection, or an answer that is none of Drive's. Raised only when the retries are used up."""


class PartlySentError(DriveError):
    """Of several requests some could not be sent.

    Attributes:
        sent: For each request in order its future ID; ``None`` for one that was not sent.
        errors: For each request in order what went wrong; ``None`` for one that was sent.
    """

    def __init__(
        self, first: BaseException, sent: Sequence[str | None], errors: Sequence[BaseException | None]
    ) -> None:
        failed = sum(future_id is None for future_id in sent)
        of_drive = first if isinstance(first, DriveError) else DriveError("")
        super().__init__(
            f"{failed} of {len(sent)} requests were not sent: {first}",
            status=of_drive.status,
            reason=of_drive.reason,
            retry_after=of_drive.retry_after,
        )
        self.sent = tuple(sent)
        self.errors = tuple(errors)


class ListingError(DriveUnavailableError):
    """A list that does not get on: page tokens go in circles, or page after page is empty."""


class TransferError(SyftFlwrError):
    """A body arrived damaged (checksum, size), or is larger than the limit."""


class DamagedDownloadError(TransferError, DriveUnavailableError):
    """A download does not have the length or the SHA-256 that Drive's metadata tell.

    As a rule something between here and Drive altered the answer, and a later download is sound. What is damaged in
    Drive itself comes with the same :attr:`sha256` each time, also minutes later.

    Attributes:
        sha256: SHA-256 (hex) of what came; of its first bytes, as many as the metadata tell, if more came.
    """

    def __init__(self, message: str, *, sha256: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


class StateError(SyftFlwrError):
    """The state directory can't be used."""


class StateMismatchError(StateError):
    """The state directory belongs to another account or another Drive."""


class RuntimeClosedError(SyftFlwrError):
    """The runtime is closed."""


class RemoteHandlerError(SyftFlwrError):
    """The peer's handler raised, or the peer gave up on the request.

    Attributes:
        future_id: The request that failed.
        body: The error reply as it came, a JSON object ``{"error": …, "timestamp": …}``.
        others: The replies of the other futures that were waited for: future ID to body, the error replies among them.
    """

    def __init__(self, message: str, *, future_id: str, body: bytes, others: Mapping[str, bytes] | None = None) -> None:
        super().__init__(message)
        self.future_id = future_id
        self.body = body
        self.others = dict(others or {})

    @classmethod
    def from_body(cls, future_id: str, body: bytes, *, others: Mapping[str, bytes] | None = None) -> RemoteHandlerError:
        """Make the error out of an error reply, whatever the peer put into it."""
        try:
            detail = printable(json.loads(body)["error"])
        except (ValueError, TypeError, LookupError, RecursionError):
            detail = "an error reply that can't be read"
        return cls(
            f"the peer could not handle request {future_id}: {detail}", future_id=future_id, body=body, others=others
        )


class UnansweredError(SyftFlwrError, KeyError):
    """A reply was asked for that had not come when ``wait`` returned.

    Attributes:
        future_ids: All that are missing.
    """

    def __init__(self, future_ids: Sequence[str]) -> None:
        super().__init__(
            f"no reply yet to {', '.join(future_ids)}: wait longer (timeout=...), or look which keys the result has"
        )
        self.future_ids = tuple(future_ids)

    __str__ = Exception.__str__


class RecordingError(SyftFlwrError):
    """A recorded feed can't be read.

    Attributes:
        line: 1-based line number of the first bad line, or ``None``.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class FlowerError(SyftFlwrError):
    """A Flower project or app can't run; the message says what to change."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came, as when the machine goes down; unlike Ctrl-C it does not say that a run is over."""
