"""Google Drive as one account sees it, over HTTP."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from syft_flwr.clock import SystemClock
from syft_flwr.drive.answers import (
    IN_TRASH,
    read_access,
    read_file,
    read_files,
    read_nothing,
    read_page,
    read_stored,
    text,
)
from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.calls import Attempt, CallGovernor
from syft_flwr.drive.download import download
from syft_flwr.drive.fields import ABOUT_FIELDS, ACCESS_FIELDS, CHANGE_FIELDS, FILE_FIELDS, LIST_FIELDS, UPLOAD_FIELDS
from syft_flwr.drive.google_client import media_of, resources_of
from syft_flwr.drive.paging import Paging
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.drive.session import DriveSession
from syft_flwr.drive.transport import Transport
from syft_flwr.drive.unfinished import Unfinished
from syft_flwr.drive.upload import Body, UploadSession, upload_resumable
from syft_flwr.errors import (
    ConflictError,
    DriveError,
    DriveUnavailableError,
    ListingError,
    NotFoundError,
    RateLimitedError,
    TransferError,
)
from syft_flwr.ports import Clock
from syft_flwr.resources import FOLDER_MIME_TYPE, Access, Account, ChangePage, DriveFile
from syft_flwr.settings import Endpoint

T = TypeVar("T")

_log = logging.getLogger(__name__)

MULTIPART_LIMIT = 5 * 1024 * 1024
"""Bytes of a body that goes in one request; larger ones go in a resumable upload."""

_MEDIA_TYPE = "application/octet-stream"
_PAGE_SIZE = 1000
_MAX_IDS = 1000
_SHARE_LOCKS = 64
_LIST_KEPT_FOR = 300.0
"""Seconds for which the pages of a list that broke off are kept."""
_MOST_KEPT = 10_000
"""Files up to which they are."""
_UPLOAD_KEPT_FOR = 86_400.0
"""Seconds for which an upload that broke off may go on; Drive keeps one for a week."""


@dataclass(slots=True)
class _Listed:
    """The pages of a list that have come."""

    files: list[DriveFile] = field(default_factory=list)
    page_token: str | None = None
    paging: Paging = field(default_factory=lambda: Paging("files.list"))


class HttpDriveGateway:
    """The :class:`~syft_flwr.ports.DriveGateway` over Drive's HTTP API, Google's own or the emulator's.

    Thread-safe. ``close()`` takes effect at once in every thread: waits end, calls under way are broken off, and all
    of them raise :class:`~syft_flwr.errors.RuntimeClosedError`.

    Args:
        endpoint: Which Drive.
        credentials: google-auth credentials with the ``drive`` scope.
        clock: Time for waits and rates.
        meter: Where calls are booked; a new one by default.
        rng: Source of jitter.
        timeout: Seconds that one socket operation may take.
        patience: Seconds that the pauses between the attempts at one call may take together.
        budget: What the account may spend; closed with the gateway.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Any,
        *,
        clock: Clock | None = None,
        meter: QuotaMeter | None = None,
        rng: random.Random | None = None,
        timeout: float = 60.0,
        patience: float = 64.0,
        budget: AccountBudget | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.meter = meter or QuotaMeter()
        self._url = endpoint.url.rstrip("/")
        self._stopped = threading.Event()
        self._transport = Transport(self._stopped, timeout=timeout, is_local=endpoint.is_emulator)
        self._session = DriveSession(self._transport, credentials, clock)
        self._governor = CallGovernor(
            self._session,
            meter=self.meter,
            budget=budget,
            clock=clock,
            stopped=self._stopped,
            rng=rng or random.Random(),  # noqa: S311 - jitter, not a secret
            patience=patience,
        )
        self._about, self._changes, self._files, self._permissions = resources_of(self._url)
        self._budget = budget
        self._lists: Unfinished[tuple[str, str | None], _Listed] = Unfinished(clock, keep_for=_LIST_KEPT_FOR)
        self._uploads: Unfinished[str, UploadSession] = Unfinished(clock, keep_for=_UPLOAD_KEPT_FOR)
        self._share_locks = tuple(threading.Lock() for _ in range(_SHARE_LOCKS))

    def about(self) -> Account:
        def read(raw: Any) -> tuple[Account, bool]:
            user = raw["user"]
            account = Account(email=text(user["emailAddress"]), permission_id=text(user["permissionId"]))
            return account, raw.get("storageQuota", {}).get("limit") == "0"

        account, has_no_storage = self._execute("about.get", lambda: self._about.get(fields=ABOUT_FIELDS), read)
        if has_no_storage:
            _log.warning(
                "%s has no storage in Drive (a service account, as a rule): it can read and make folders, but every "
                "upload to My Drive will fail. Use a user's login, delegation to a user, or a shared drive.",
                account.email,
            )
        return account

    def storage(self) -> tuple[int, int | None]:
        """Return the bytes that the account uses, and how many it may use (``None``: no limit)."""

        def read(raw: Any) -> tuple[int, int | None]:
            quota = raw["storageQuota"]
            return int(quota.get("usage", 0)), int(quota["limit"]) if "limit" in quota else None

        return self._execute("about.get", lambda: self._about.get(fields="storageQuota(limit,usage)"), read)

    def get_start_page_token(self) -> str:
        return self._execute(
            "changes.getStartPageToken",
            lambda: self._changes.getStartPageToken(supportsAllDrives=True),
            lambda raw: text(raw["startPageToken"]),
        )

    def peek(self) -> str:
        return self.get_start_page_token()

    def list_changes(self, page_token: str) -> ChangePage:
        return self._execute(
            "changes.list",
            lambda: self._changes.list(
                pageToken=page_token,
                pageSize=_PAGE_SIZE,
                fields=CHANGE_FIELDS,
                includeRemoved=True,
                includeItemsFromAllDrives=True,
                supportsAllDrives=True,
            ),
            read_page,
        )

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        order = "createdTime" if oldest_first else None
        listed = self._lists.take((query, order)) or _Listed()
        yield from listed.files
        while True:
            try:
                files, page_token, is_complete = self._list_page(query, listed.page_token, order)
            except (RateLimitedError, DriveUnavailableError):
                if len(listed.files) < _MOST_KEPT:
                    self._lists.keep((query, order), listed)
                raise
            yield from files
            if not is_complete:
                raise ListingError("files.list: Drive has not looked everywhere, or shows what can't be read")
            if page_token is None:
                return
            listed.paging.advance(page_token, is_empty=not files)
            listed.page_token = page_token
            if len(listed.files) < _MOST_KEPT:
                listed.files += files

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:
        return self._execute(
            "files.get",
            lambda: self._files.get(fileId=file_id, fields=FILE_FIELDS, supportsAllDrives=True),
            lambda raw: read_file(raw, file_id),
            patient=patient,
        )

    def generate_ids(self, count: int) -> list[str]:
        ids: list[str] = []
        while len(ids) < count:
            ids += self._generate_ids(min(_MAX_IDS, count - len(ids)))
        return ids

    def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
        metadata: dict[str, Any] = {"id": file_id, "name": name, "mimeType": FOLDER_MIME_TYPE}
        if parent is not None:
            metadata["parents"] = [parent]
        try:
            return self._execute(
                "files.create",
                lambda: self._files.create(body=metadata, fields=FILE_FIELDS, supportsAllDrives=True),
                lambda raw: read_file(raw, file_id),
            )
        except ConflictError:
            return self._made_before(file_id, name)

    def access(self, file_id: str) -> Access:
        return self._execute(
            "files.get",
            lambda: self._files.get(fileId=file_id, fields=ACCESS_FIELDS, supportsAllDrives=True),
            read_access,
        )

    def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
        permission = {"type": "user", "role": "writer" if may_write else "reader", "emailAddress": email}
        # Concurrent permission edits of one file overwrite each other:
        # https://developers.google.com/workspace/drive/api/guides/manage-sharing
        with self._share_locks[hash(file_id) % _SHARE_LOCKS]:
            return self._execute(
                "permissions.create",
                lambda: self._permissions.create(
                    fileId=file_id,
                    body=permission,
                    sendNotificationEmail=False,
                    fields="id,emailAddress",
                    supportsAllDrives=True,
                ),
                lambda raw: Account(raw.get("emailAddress") or email, text(raw["id"])),
            )

    def upload(
        self,
        file_id: str,
        name: str,
        parent: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        metadata: dict[str, Any] = {"id": file_id, "name": name, "parents": [parent], "mimeType": _MEDIA_TYPE}
        if properties:
            metadata["properties"] = dict(properties)
        with Body(body) as content:
            stored: int | None
            try:
                stored = self._create(metadata, content)
            except ConflictError:  # an earlier attempt's file, as a rule
                made = self._made_before(file_id, name)
                if made.trashed:
                    with suppress(DriveError):  # else two would come back from the trash
                        self.delete(file_id)
                    raise ConflictError(IN_TRASH) from None
                stored = made.size
            if stored != content.size:
                raise TransferError(f"file {file_id} has {stored} bytes in Drive; the body has {content.size}")

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        request = self._files.get_media(fileId=file_id, supportsAllDrives=True)
        try:
            download(self._governor, request.uri, target, size=size, sha256=sha256)
        except NotFoundError as error:  # a message that counts as withdrawn is lost: Drive must say it twice
            if self.get_file(file_id, patient=False).trashed:
                raise
            raise DriveUnavailableError(f"Drive shows file {file_id}, but not its content: {error}") from error

    def delete(self, file_id: str) -> bool:
        try:
            self._execute(
                "files.delete", lambda: self._files.delete(fileId=file_id, supportsAllDrives=True), read_nothing
            )
        except NotFoundError:
            _log.debug("file %s was gone already", file_id)
            return False
        return True

    def server_time(self) -> float:
        return self._session.server_time()

    def budget_delay(self, units: int) -> float:
        """Return the seconds that a call of so many quota units would have to wait for the budget now."""
        return self._governor.budget_delay(units)

    def tell_of_limits(self, tell: Callable[[RateLimitedError], None]) -> None:
        self._governor.tell = tell

    def note_saving(self, saving: str, *, units: int = 0, size: int = 0) -> None:
        self.meter.book_saving(saving, units, size)
        if self._budget is not None:
            self._budget.note_saving(saving, units)

    def close(self) -> None:
        """Close every connection and end every wait; idempotent."""
        self._stopped.set()
        self._transport.close()
        if self._budget is not None:
            self._budget.close()

    def _execute(self, method: str, build: Callable[[], Any], read: Callable[[Any], T], *, patient: bool = True) -> T:
        """Run a call, its request built anew for each attempt, since executing changes it, and read its answer."""

        def work(attempt: Attempt) -> T:
            return read(build().execute(http=attempt))

        return self._governor.run(method, work, patient=patient)

    def _made_before(self, file_id: str, name: str) -> DriveFile:
        """Return the file that has the ID already, if it is what was to be made: a cache may give out IDs twice."""
        try:
            file = self.get_file(file_id)
        except NotFoundError as error:
            raise ConflictError(f"the reserved ID {file_id} was that of a file that is gone") from error
        if file.name != name:
            raise ConflictError(f"the reserved ID {file_id} is that of another file")
        return file

    def _generate_ids(self, count: int) -> list[str]:
        return self._execute(
            "files.generateIds",
            lambda: self._files.generateIds(count=count, fields="ids"),
            lambda raw: [text(raw["ids"][number]) for number in range(count)],
        )

    def _list_page(
        self, query: str, page_token: str | None, order: str | None
    ) -> tuple[list[DriveFile], str | None, bool]:
        """Return the files of a page, the token of the next one, and whether that is all that there is."""
        return self._execute(
            "files.list",
            lambda: self._files.list(
                q=query,
                pageToken=page_token,
                pageSize=_PAGE_SIZE,
                orderBy=order,
                fields=LIST_FIELDS,
                includeItemsFromAllDrives=True,
                supportsAllDrives=True,
            ),
            read_files,
        )

    def _create(self, metadata: Mapping[str, Any], body: Body) -> int:
        """Create a file and return how many bytes Drive has of it."""
        if body.size > MULTIPART_LIMIT:
            query = {"uploadType": "resumable", "supportsAllDrives": "true", "fields": UPLOAD_FIELDS}
            uri = f"{self._url}/upload/drive/v3/files?{urlencode(query)}"
            return upload_resumable(self._governor, uri, metadata, body, self._uploads)
        media = media_of(body.read(0, body.size), _MEDIA_TYPE)
        return self._execute(
            "files.create",
            lambda: self._files.create(body=metadata, media_body=media, fields=UPLOAD_FIELDS, supportsAllDrives=True),
            lambda raw: read_stored(raw, metadata["id"]),
        )
