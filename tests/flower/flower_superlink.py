"""A real Flower SuperLink with SuperNodes, on loopback, as the oracle."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil

_BIN = Path(sys.executable).parent


def run_on_superlink(project: Path, directory: Path, *, nodes: int, run_config: str) -> str:
    """Run a project with ``flwr run`` and return what it prints."""
    port = _free_port()
    home = directory / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
    }
    app = directory / "app"
    shutil.copytree(project, app, ignore=shutil.ignore_patterns("__pycache__"))
    with ExitStack() as stack:
        link = [_BIN / "flower-superlink", "--insecure", "--disable-runtime-dependency-installation"]
        stack.enter_context(
            _running([*link, "--host", "127.0.0.1", "--port", port], directory / "superlink.log", environment)
        )
        _wait_for_port(port)
        for number in range(nodes):
            node = [_BIN / "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}", "--port", _free_port()]
            config = f"partition-id={number} num-partitions={nodes}"
            log = directory / f"supernode-{number}.log"
            stack.enter_context(_running([*node, "--node-config", config], log, environment))
        command = [_BIN / "flwr", "run", app, "local", "--stream", "--run-config", run_config]
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=400, check=False
        )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


@contextmanager
def _running(command: list[object], log: Path, environment: dict[str, str]) -> Iterator[None]:
    """Keep a process running; end it and all that it started, some of it in sessions of their own, by their IDs."""
    with log.open("wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            try:
                member.terminate()
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(family, timeout=5)
        for member in alive:
            member.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, timeout: float = 60.0) -> None:
    end, tick = time.monotonic() + timeout, threading.Event()
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError as error:
            if hasattr(error, "code"):  # an HTTP error is an answer, too
                error.close()
                return
            assert time.monotonic() < end, f"nothing serves on port {port}"
            tick.wait(0.1)
