"""What happens in the process of one ClientApp: it waits for its message, handles it, and ends as Python ends.

Started by :mod:`syft_flwr.flower.app_start`: from the standard library's fork server, which has imported this module,
or as a program in a sandbox.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import faulthandler
import gc
import importlib.machinery
import os
import signal
import sys
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import CodeType

from syft_flwr.flower._compat import reseed
from syft_flwr.flower.job import AppSpec, JobFiles, load_checked
from syft_flwr.flower.logs import adapt_flowers_lines
from syft_flwr.flower.preload import preload
from syft_flwr.flower.project_files import project_files

DONE = b"done"
FORK_SAFE = frozenset({"numpy", "pandas", "scipy", "sklearn", "torch"})
"""Importing these starts no thread that a fork would lose, nor draws random numbers (but for numpy's, reseeded)."""


def serve(spec: AppSpec, job: JobFiles, orders: Connection) -> None:
    """Do a job in a process that was forked from the fork server."""
    os.setpgid(0, 0)  # so that what the app starts can be ended with it, and Ctrl-C in a terminal is for the owner
    os.environ.pop("PYTHONSAFEPATH", None)
    threading.Thread(target=_end_with_owner, name="flower-guard", daemon=True).start()
    gc.freeze()  # or the first collection would touch, and so copy, every page of the fork server
    reseed()
    work(spec, job, orders)
    # The rest of what the interpreter does at its end; a process of multiprocessing leaves without.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - ends open executors, waits for threads
    atexit._run_exitfuncs()  # noqa: SLF001


def work(spec: AppSpec, job: JobFiles, orders: Connection) -> None:
    """Import the app, wait for the order to do the job, do it, and say so before the process ends."""
    faulthandler.enable()
    adapt_flowers_lines()
    import_from_sources(Path(spec.project_dir))
    with contextlib.suppress(Exception, SystemExit):  # told when the order comes, which loads it again
        load_checked(spec)
    try:
        stamp = orders.recv()
    except EOFError:
        return
    job.execute(spec, stamp)
    with contextlib.suppress(BrokenPipeError):
        orders.send_bytes(DONE)


def main(descriptor: int) -> None:
    """Do a job in a sandbox, whose orders come through an open file."""
    os.set_inheritable(descriptor, False)
    orders = Connection(descriptor)
    spec, job = orders.recv()
    preload(libraries(Path(spec.project_dir)))  # while there is no message yet
    work(spec, job, orders)


def _end_with_owner() -> None:
    """Kill this process and all that it started when the data owner's process has died, even by ``kill -9``."""
    owner = parent_process()
    if owner is not None:
        wait([owner.sentinel])
    os.killpg(0, signal.SIGKILL)


def libraries(project_dir: Path) -> list[str]:
    """Return the modules of fork-safe libraries that a project's files import; nothing is executed."""
    found: dict[str, None] = {}
    for path in sorted(path for path in project_files(project_dir) if path.suffix == ".py"):
        # Told when the app is loaded, if it matters. SystemError: 3.11.7 raises it when two threads parse at once.
        with contextlib.suppress(SyntaxError, ValueError, OSError, SystemError):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= dict.fromkeys(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found[node.module] = None
    return [name for name in found if name.partition(".")[0] in FORK_SAFE]


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time; neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_from_sources(directory: Path) -> None:
    """Make this process import everything below a directory from its sources; call it before the first such import.

    Python prefers a ``__pycache__`` that looks fresh, and whoever can write into a project can make one that looks so.
    What a data owner has approved is the source.
    """
    root = directory.absolute()

    def hook(entry: str) -> importlib.machinery.FileFinder:
        path = Path(entry).absolute()
        if not path.is_dir() or not path.is_relative_to(root):
            raise ImportError(entry)  # how a hook says that a path is not for it
        return importlib.machinery.FileFinder(
            entry,
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
            (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
        )

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    main(int(sys.argv[1]))
