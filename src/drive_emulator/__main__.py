"""The command ``drive-emulator``: serve a local Google Drive until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drive_emulator.accounts import is_address
from drive_emulator.errors import EmulatorError
from drive_emulator.handle import ask, load_server
from drive_emulator.hosts import address_of, is_loopback

if TYPE_CHECKING:
    from drive_emulator.server import EmulatorServer

_DESCRIPTION = """\
Serve a local Google Drive, API v3, for any number of accounts, until Ctrl-C or
SIGTERM.
An account's bearer token is its e-mail address, unless there are token files.
Clients that know the variable find it by DRIVE_EMULATOR_HOST=127.0.0.1:PORT."""


def main(arguments: Sequence[str] | None = None, *, program: str = "drive-emulator") -> int:
    """Serve, and return the exit code.

    Args:
        arguments: Those of the command line by default.
        program: What the help calls the command.
    """
    options = parser_of(program).parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if options.action is not None:
        return _tell(options)
    try:
        server = load_server()(
            host=options.host,
            port=options.port,
            data=options.data,
            control=options.control,
            hosts=options.allow_host,
            tls=options.tls or options.hosts,
            token_files=dict(options.token_file),
            load=options.load,
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _fail(f"port {options.port} is in use; choose another with --port, or --port 0 for a free one")
        return _fail(f"can't serve on {address_of(options.host, options.port)}: {error.strerror or error}")
    except EmulatorError as error:
        return _fail(str(error))
    if not is_loopback(options.host):
        _say(f"warning: {options.host} is no loopback address: whoever reaches it can act as every account")
    server.run(lambda: print(_describe(server, options), flush=True))  # noqa: T201 - what the command says
    return 0


def _tell(options: argparse.Namespace) -> int:
    """Have a running emulator save what it holds, or begin again from what was saved."""
    host = os.environ.get("DRIVE_EMULATOR_HOST", address_of(options.host, options.port))
    ca = os.environ.get("SSL_CERT_FILE") if options.tls or options.hosts else None
    try:
        path = {"path": str(options.file.absolute())}
        token = os.environ.get("DRIVE_EMULATOR_CONTROL", "")
        ask(host, token, "POST", f"/{options.action}", path, ca_file=None if ca is None else Path(ca))
    except OSError as error:
        return _fail(f"no emulator answers on {host}: {error}; set DRIVE_EMULATOR_HOST as it printed it")
    except ValueError as error:
        return _fail(
            f"{str(error).rstrip('.')}: start it with --control, and set DRIVE_EMULATOR_CONTROL as it printed it"
        )
    return 0


def _describe(server: EmulatorServer, options: argparse.Namespace) -> str:
    address, ca = address_of(server.host, server.port), server.ca_file and str(server.ca_file)
    about = {"host": address, "port": server.port, "url": server.url, "control": server.control_token}
    if options.json:
        return json.dumps({**about, "ca": ca, "proxy": server.proxy})
    exports = {"DRIVE_EMULATOR_HOST": address, "DRIVE_EMULATOR_CONTROL": server.control_token, "SSL_CERT_FILE": ca}
    if options.hosts:
        exports = {"HTTPS_PROXY": server.proxy, "SSL_CERT_FILE": ca, "DRIVE_EMULATOR_CONTROL": server.control_token}
    lines = [f"export {name}={value}" for name, value in exports.items() if value is not None]
    return "\n".join([f"Drive emulator on {server.url} (Ctrl-C stops it)", *lines])


def parser_of(program: str) -> argparse.ArgumentParser:
    """Return what reads the command line, under the name that its help calls the command."""
    parser = argparse.ArgumentParser(
        prog=program, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=_port, default=8085, help="port to listen on (8085); 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name that it is reached by, or whose pages may call it; can be repeated",
    )
    parser.add_argument("--data", type=Path, help="directory to keep everything in; without it, memory")
    parser.add_argument(
        "--control",
        action="store_true",
        help="serve statistics and faults under /emulator, to who sends the token that it prints",
    )
    parser.add_argument("--tls", action="store_true", help="speak TLS, with a CA of its own that it names")
    parser.add_argument(
        "--hosts",
        action="store_true",
        help="stand in for www.googleapis.com and its like, too, for clients that know no other; implies --tls",
    )
    parser.add_argument(
        "--token-file",
        action="append",
        default=[],
        type=_token_file,
        metavar="ADDRESS=FILE",
        help="write a token file for this account, and let nobody in without one: no address is a token then; "
        "can be repeated",
    )
    parser.add_argument("--load", type=Path, metavar="FILE", help="begin with what `drive-emulator save FILE` wrote")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    actions = parser.add_subparsers(dest="action", title="of an emulator that runs with --control", metavar="save|load")
    for action, told in (("save", "write all that it holds into a file"), ("load", "begin again from such a file")):
        actions.add_parser(action, help=told).add_argument("file", type=Path)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"a port is between 0 and 65535, not {text}")
    return int(text)


def _token_file(text: str) -> tuple[str, Path]:
    email, _, path = text.partition("=")
    if not is_address(email) or not path:
        raise argparse.ArgumentTypeError(f"{text} is not ADDRESS=FILE, such as do@example.com=token.json")
    return email, Path(path)


def _fail(message: str) -> int:
    _say(f"error: {message}")
    return 1


def _say(message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201 - what the command says


if __name__ == "__main__":
    sys.exit(main())
