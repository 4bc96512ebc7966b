"""A sandbox for the process of a ClientApp, made with bubblewrap (https://github.com/containers/bubblewrap).

In it there are the system's programs and libraries, Python, the project and what the data owner names, all read-only;
a directory for the reply, and those that the project names as ``written``. There is no home, no state directory, no
token, no network, and no process of anybody else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from syft_flwr.errors import ConfigurationError
from syft_flwr.printable import printable
from syft_flwr.private import make_directories
from syft_flwr.settings import (
    DATA_VARIABLE,
    EMAIL_VARIABLE,
    LOG_FORMAT_VARIABLE,
    TOKEN_VARIABLE,
    login_root,
    state_root,
)

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/sys/devices/system/cpu")
_CONFIGURATION = ("alternatives", "fonts", "group", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "ssl")
"""In /etc: what libraries look up, and nothing that tells of this machine's secrets."""
_SCRATCH = Path("/tmp")  # noqa: S108 - the sandbox has one of its own, in memory
_KEPT_VARIABLES = {
    *("PATH", "LANG", "LANGUAGE", "TZ", "NO_COLOR", "LD_LIBRARY_PATH", "PYTHONPATH"),
    *(DATA_VARIABLE, EMAIL_VARIABLE, LOG_FORMAT_VARIABLE),
}
_SECRET_FILES = (TOKEN_VARIABLE, "GOOGLE_APPLICATION_CREDENTIALS")
_SECONDS_TO_TRY = 60.0
_MISSING = (
    "--sandbox needs bubblewrap, and there is no program 'bwrap' on PATH: install it (Debian and Ubuntu: apt install "
    "bubblewrap; Fedora: dnf install bubblewrap), or give this data owner a user or container of its own"
)
_REFUSED = (
    "bubblewrap can't make the sandbox here: {reason}. It needs unprivileged user namespaces, which containers and "
    "some distributions forbid (Ubuntu: kernel.apparmor_restrict_unprivileged_userns, others: "
    "user.max_user_namespaces). Have them allowed, or leave --sandbox out and give this data owner a user or "
    "container of its own"
)

Kind = Literal["--ro-bind-try", "--ro-bind", "--bind", "--tmpfs", "--proc", "--dev"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What an app may use beyond the system, Python and its own job. ``readable`` are the data owner's data."""

    program: str
    project: Path
    readable: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()

    @classmethod
    def of(cls, project: Path, readable: Sequence[Path] = (), written: Sequence[str] = ()) -> Sandbox:
        """Choose what a project's app may use; nothing is started.

        Args:
            project: The project's directory.
            readable: More files and directories; the one in ``DATA_DIR`` is added.
            written: Directories in the project that the app may write into; missing ones are made.

        Raises:
            ConfigurationError: There is no bubblewrap, something named is missing, or a directory leads elsewhere.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise ConfigurationError(_MISSING)
        data = os.environ.get(DATA_VARIABLE)
        named = [path.expanduser().absolute() for path in (*readable, *([Path(data)] if data else []))]
        if missing := [path for path in named if not path.exists()]:
            raise ConfigurationError(f"there is nothing to read at {', '.join(map(str, missing))}")
        return cls(program, project, tuple(named), tuple(_writable(project, name) for name in written))

    def command(self, job: Path, results: Path, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one in the sandbox, where ``job`` is read and ``results`` written."""
        options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        for kind, path in self._mounts(job, results):
            options += [kind, str(path)] if kind in ("--tmpfs", "--proc", "--dev") else [kind, str(path), str(path)]
        for secret in self._secrets():
            options += ["--ro-bind", os.devnull, str(secret)]
        return [self.program, *options, "--chdir", str(self.project), "--", *command]

    def environment(self) -> dict[str, str]:
        """Return the variables that the app gets: no token of any kind is among them."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT_VARIABLES or name.startswith("LC_") or name.endswith("_NUM_THREADS")
        }
        return {**kept, "HOME": str(_SCRATCH), "FLWR_TELEMETRY_ENABLED": "0"}

    def check(self, directory: Path) -> None:
        """Try it once.

        Raises:
            ConfigurationError: It can't be made here; the message says why and what to do.
        """
        command = self.command(directory, directory, [sys.executable, "-I", "-S", "-c", ""])
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_TRY,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ConfigurationError(_REFUSED.format(reason=printable(lines[-1].removeprefix("bwrap: "))))

    def _mounts(self, job: Path, results: Path) -> list[tuple[Kind, Path]]:
        """Return what is where, directories before what is in them: so the later ones count."""
        mounts: list[tuple[Kind, Path]] = [
            ("--proc", Path("/proc")),
            ("--dev", Path("/dev")),
            ("--tmpfs", _SCRATCH),
        ]
        mounts += [("--ro-bind-try", Path(path)) for path in _SYSTEM]
        mounts += [("--ro-bind-try", Path("/etc", name)) for name in _CONFIGURATION]
        mounts += [("--ro-bind", path) for path in (*_python(), self.project, *self.readable)]
        mounts += [("--bind", path) for path in self.written]
        mounts += [("--tmpfs", path) for path in (state_root(), login_root()) if path.is_dir()]
        mounts += [("--ro-bind", job), ("--bind", results)]
        return sorted(mounts, key=lambda mount: len(mount[1].parts))

    def _secrets(self) -> Iterator[Path]:
        """Yield token files that lie in what the app can read."""
        for variable in _SECRET_FILES:
            path = Path(os.environ.get(variable) or os.devnull).expanduser().absolute()
            for place in {path, path.resolve()}:
                if place.is_file() and any(place.is_relative_to(root) for root in (self.project, *self.readable)):
                    yield place


def _python() -> Iterator[Path]:
    """Yield where this interpreter and its libraries are, unless a whole home directory is."""
    home = Path.home()
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]
    for place in dict.fromkeys(Path(text).absolute() for text in places if text):
        for path in dict.fromkeys((place, place.resolve())):
            if path.exists() and not home.is_relative_to(path):
                yield path


def _writable(project: Path, name: str) -> Path:
    directory = project / name
    if not directory.resolve().is_relative_to(project.resolve()):
        raise ConfigurationError(f"{directory}, which the project names as written, leads out of the project")
    make_directories(directory)
    return directory
