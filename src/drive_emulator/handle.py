"""A local Google Drive for tests: start it, look into it, make it fail."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from drive_emulator.client_files import write_client_file, write_token_file
from drive_emulator.errors import EmulatorError

if TYPE_CHECKING:
    from drive_emulator.server import EmulatorServer

_STOP_TIMEOUT = 10.0
_ANSWER_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file or folder as it lies in the emulator, whoever may see it.

    Attributes:
        path: Names from the owner's My Drive down to its own, ``"My Drive/SyftBox/…"`` joined by slashes.
        owner: E-mail address.
        roles: Role of each address with access, inherited ones included; links appear under their permission ID.
        size: In bytes; ``None`` for folders.
        content: ``None`` for folders, and where content was not asked for.
    """

    id: str
    name: str
    path: str
    mime_type: str
    parent: str | None
    owner: str
    trashed: bool
    created_time: str
    size: int | None
    roles: Mapping[str, str]
    properties: Mapping[str, str]
    content: bytes | None


class DriveEmulator:
    """A handle on an emulator of its own, in memory unless told otherwise.

    For example::

        with DriveEmulator() as drive:
            monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
            with drive.fault("error", method="files.create", status=503, times=1):
                ...

    It serves on a thread of this process, or with ``process=True`` in a child process. All methods may be called from
    any thread.

    Args:
        data: Directory that outlives the emulator; ``None`` for memory.
        port: 0 for a free one.
        process: Whether to run it in a child process, which can be killed.
        tls: Whether to speak TLS, with a certificate of :attr:`ca_file`, and open :attr:`proxy`.

    Attributes:
        port: Where it listens.
        control_token: What opens the control plane to other clients: ``Authorization: Bearer TOKEN``.
        ca_file: With TLS, the certificate that clients shall trust (``SSL_CERT_FILE``).
        proxy: With TLS, the ``HTTPS_PROXY`` that leads clients here which hard-code ``www.googleapis.com``.
    """

    def __init__(self, *, data: Path | None = None, port: int = 0, process: bool = False, tls: bool = False) -> None:
        self._data = data
        self.port = port
        self._in_process = not process
        self._tls = tls
        self._server: EmulatorServer | None = None
        self._child: subprocess.Popen[str] | None = None
        self.control_token = ""
        self.ca_file: Path | None = None
        self.proxy: str | None = None

    def start(self) -> Self:
        """Start serving; return when requests are answered.

        Raises:
            OSError: The port is in use (in this process).
            EmulatorError: It did not start; the message tells why.
        """
        if self._in_process:
            self._server = load_server()(port=self.port, data=self._data, control=True, tls=self._tls)
            self._server.start()
            self.port, self.control_token = self._server.port, self._server.control_token or ""
            self.ca_file, self.proxy = self._server.ca_file, self._server.proxy
        else:
            self._child, ready = _spawn(self.port, self._data, tls=self._tls)
            self.port, self.control_token, self.proxy = ready["port"], ready["control"], ready["proxy"]
            self.ca_file = ready["ca"] and Path(ready["ca"])
        return self

    def stop(self) -> None:
        """Stop serving; idempotent. What lies in ``data`` stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._child.kill()
            self._reap()

    def kill(self) -> None:
        """Kill the child process, as a crash would.

        Raises:
            RuntimeError: It runs in this process.
        """
        if self._child is None:
            raise RuntimeError("only an emulator in a child process can be killed")
        self._child.kill()
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.communicate()
            self._child = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, the value for ``DRIVE_EMULATOR_HOST``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def pid(self) -> int:
        """The process that serves."""
        return os.getpid() if self._child is None else self._child.pid

    def stats(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return calls, units, errors, bytes_in and bytes_out by account, then by method (``"files.create"``)."""
        stats: dict[str, dict[str, dict[str, int]]] = self._ask("GET", "/stats")
        return stats

    def requests(self) -> list[dict[str, Any]]:
        """Return the newest requests: time, account, method, status, units, path, query and bytes.

        No more than 100,000 are kept, in no more than 32 MiB.
        """
        requests: list[dict[str, Any]] = self._ask("GET", "/requests")
        return requests

    def clear_log(self) -> None:
        """Start counting from zero; files and faults stay."""
        self._ask("DELETE", "/requests")

    def reset(self) -> None:
        """Forget all accounts, files, counts, faults and behaviour; time stays advanced."""
        self._ask("POST", "/reset")

    def save(self, path: Path) -> None:
        """Write everything that is stored into one file, a snapshot."""
        self._ask("POST", "/save", {"path": str(path.absolute())})

    def load(self, path: Path) -> None:
        """Begin again from a snapshot: what it holds takes the place of everything; faults and counts stay."""
        self._ask("POST", "/load", {"path": str(path.absolute())})

    def files(self, *, content: bool = True) -> list[StoredFile]:
        """Return everything that is stored, of all accounts, oldest first, without the My Drive folders."""
        told = self._ask("GET", f"/files?content={str(content).lower()}")
        bodies = (None if raw["content"] is None else base64.b64decode(raw["content"]) for raw in told)
        return [StoredFile(**{**raw, "content": body}) for raw, body in zip(told, bodies, strict=True)]

    def advance(self, seconds: float) -> None:
        """Move the emulator's clock forward: delayed feed entries fall due, tokens expire."""
        self._ask("POST", "/advance", {"seconds": seconds})

    def seed(self, seed: int) -> None:
        """Make faults that strike at random strike alike each time."""
        self._ask("POST", "/seed", {"seed": seed})

    def add_fault(self, kind: str, **settings: Any) -> int:
        """Put a fault in force and return its number; see :class:`drive_emulator.faults.Fault` for the settings."""
        number: int = self._ask("POST", "/faults", {"kind": kind, **_in_base64(settings)})["id"]
        return number

    def remove_fault(self, number: int) -> None:
        self._ask("DELETE", f"/faults/{number}")

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    @contextmanager
    def fault(self, kind: str, **settings: Any) -> Iterator[None]:
        """Keep a fault in force for the block; every setting is an attribute of ``drive_emulator.faults.Fault``.

        For example ``drive.fault("reset", method="files.create", when="after", times=1)``, or
        ``drive.fault("rate_limit", account="do@example.com", units_per_minute=1_000)``.
        """
        number = self.add_fault(kind, **settings)
        try:
            yield
        finally:
            self.remove_fault(number)

    @contextmanager
    def behaviour(self, **settings: Any) -> Iterator[None]:
        """Let the feed or the listing behave otherwise for the block.

        See :class:`drive_emulator.feed_behaviour.FeedBehaviour` for the settings.
        """
        before = self._ask("GET", "/behaviour")
        self._ask("PATCH", "/behaviour", settings)
        try:
            yield
        finally:
            self._ask("PATCH", "/behaviour", before)

    def alter(
        self,
        file_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        owner: str | None = None,
        by: str | None = None,
    ) -> None:
        """Change a file behind everybody's back; the fault ``"alter"`` does so at a moment of a call.

        Args:
            file_id: The file or folder.
            metadata: As ``files.update`` takes it: ``{"name": "…"}``.
            content: The new body.
            owner: The account that shall own it.
            by: The account that does it, within its rights, such as an editor; its owner by default.
        """
        changes = {"metadata": metadata, "content": content, "owner": owner, "by": by}
        self._ask("PATCH", f"/files/{file_id}", _in_base64(changes))

    def touch(self, email: str, file_id: str) -> None:
        """Put a file into an account's feed although nothing changed, as a mere view can."""
        self._ask("POST", "/touch", {"email": email, "file_id": file_id})

    def access_token(self, email: str, *scopes: str, client: str = "emulator") -> str:
        """Return an access token of an OAuth client, with these scopes (``"drive.file"``) or the whole of ``drive``."""
        token: str = self._ask("POST", "/tokens", _grant(email, scopes, client))["access_token"]
        return token

    def open_with(self, email: str, file_id: str, *, client: str = "emulator") -> None:
        """Let a client with the scope ``drive.file`` see a file, as the account does that picks it."""
        self._ask("POST", "/opened", {"email": email, "file_id": file_id, "client": client})

    def write_token_file(self, email: str, path: Path, *scopes: str) -> Path:
        """Write an authorized-user token file that refreshes at this emulator, and return its path."""
        token = self._ask("POST", "/tokens", _grant(email, scopes, "emulator"))["refresh_token"]
        return write_token_file(path, self.url, token)

    def write_client_file(self, path: Path) -> Path:
        """Write an OAuth client file, as the Cloud console offers it, whose endpoints are this emulator's."""
        return write_client_file(path, self.url)

    def expire_tokens(self, email: str) -> None:
        """End the account's access tokens; a refresh brings a new one."""
        self._ask("POST", "/tokens/expire", {"email": email})

    def revoke_tokens(self, email: str) -> None:
        """End the account's tokens for good: a refresh answers ``invalid_grant``."""
        self._ask("POST", "/tokens/revoke", {"email": email})

    def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        return ask(self.host, self.control_token, verb, path, body, ca_file=self.ca_file)


def ask(host: str, token: str, verb: str, path: str, body: Any = None, *, ca_file: Path | None = None) -> Any:
    """Carry out a call of the control plane, at a path behind ``/emulator``, and return what it answers.

    Raises:
        ValueError: The emulator refused; the message is its own.
        OSError: It can't be reached.
    """
    if ca_file is None:
        connection = HTTPConnection(host, timeout=_ANSWER_TIMEOUT)
    else:
        trusted = ssl.create_default_context(cafile=ca_file)
        connection = HTTPSConnection(host, timeout=_ANSWER_TIMEOUT, context=trusted)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request(verb, f"/emulator{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(content["error"]["message"])
    return content


def _grant(email: str, scopes: Sequence[str], client: str) -> dict[str, str]:
    whole = [scope if "/" in scope else f"https://www.googleapis.com/auth/{scope}" for scope in scopes or ("drive",)]
    return {"email": email, "client": client, "scopes": " ".join(whole)}


def _in_base64(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in settings.items()}


def load_server() -> type[EmulatorServer]:
    """Import what serves; only that needs the packages of the extra.

    Raises:
        EmulatorError: They are not installed.
    """
    try:
        from drive_emulator.server import EmulatorServer
    except ModuleNotFoundError as error:
        raise EmulatorError(
            f"the Drive emulator needs the package {error.name}: pip install 'syft-flwr-drive[emulator]'"
        ) from error
    return EmulatorServer


def _spawn(port: int, data: Path | None, *, tls: bool) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    command = [sys.executable, "-m", "drive_emulator", "--port", str(port), "--control", "--json"]
    command += ["--tls"] if tls else []
    command += [] if data is None else ["--data", str(data)]
    # Its errors go to a file: a pipe that nobody reads would fill up and stop it.
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)  # noqa: S603
        line = child.stdout.readline() if child.stdout else ""
        try:
            return child, json.loads(line)
        except ValueError as error:
            child.kill()
            child.communicate()
            errors.seek(0)
            reason = errors.read().strip().removeprefix("error: ") or line.strip()
            raise EmulatorError(f"the emulator did not start: {reason}") from error
