"""An HTTP proxy that knows one way: whoever asks it for a host of Google's gets to the emulator, in TLS."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter

from drive_emulator.hosts import GOOGLES_HOSTS

_MAX_HEAD = 16_384
_PATIENCE = 30.0


class Tunnel:
    """Answers ``CONNECT`` on the emulator's host, for clients that hard-code Google's and heed ``HTTPS_PROXY``."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, self._target[0], 0, limit=_MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
            verb, _, rest = head.partition(b" ")
            if verb != b"CONNECT" or rest.partition(b":")[0].decode("latin-1").lower() not in GOOGLES_HOSTS:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                inner_reader, inner_writer = await asyncio.open_connection(*self._target)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        writer.close()


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
