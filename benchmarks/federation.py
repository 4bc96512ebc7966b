"""What a federation takes: ``python benchmarks/federation.py large`` and ``… many``.

``large`` trains a model of 200 MB with two owners for two rounds. It prints the peak of resident memory of each role,
also as multiples of the model, and the bytes that messages moved against what the model implies: each round sends it to
every owner for training and for evaluation, and every owner returns it once.

``many`` trains a small model with 5 and with 20 owners for ten rounds, and prints the calls that an owner made in a
round, by method. Polls are left out: their number follows from the time that a run takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

PYPROJECT = """\
[project]
name = "sized"
version = "1.0.0"

[tool.flwr.app]
publisher = "benchmark"

[tool.flwr.app.components]
serverapp = "sized:server"
clientapp = "sized:client"

[tool.flwr.app.config]
num-server-rounds = 1
megabytes = 1
"""

APP = """\
import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

server, client = ServerApp(), ClientApp()


@server.main()
def main(grid, context):
    size = int(context.run_config["megabytes"]) * 1_000_000 // 4
    arrays = ArrayRecord({"weights": Array(np.zeros(size, np.float32))})
    FedAvg().start(grid=grid, initial_arrays=arrays, num_rounds=int(context.run_config["num-server-rounds"]))


@client.train()
def train(message, context):
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": message.content["arrays"], "metrics": metrics}), reply_to=message)


@client.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)
"""


def role_of(process: psutil.Process) -> str:
    command = process.cmdline()
    if "emulator" in command:
        return "local Drive"
    if any("forkserver" in part for part in command):
        return "app"
    if "run" in command:
        return "participant"
    return "simulate"


def watch_memory(root: int, peaks: dict[str, int], ended: threading.Event) -> None:
    """Note the largest resident memory of a process of each role."""
    while not ended.wait(0.05):
        try:
            processes = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        except psutil.Error:
            continue
        for process in processes:
            try:
                role = role_of(process)
                peaks[role] = max(peaks[role], process.memory_info().rss)
            except psutil.Error:
                continue


def simulate(owners: int, rounds: int, megabytes: int) -> tuple[dict[str, Any], dict[str, int]]:
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / "project"
        project.mkdir()
        (project / "pyproject.toml").write_text(PYPROJECT)
        (project / "sized.py").write_text(APP)
        command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(project), "--json"]
        command += ["--datasites", str(owners), "--rounds", str(rounds), "-c", f"megabytes={megabytes}"]
        peaks: dict[str, int] = defaultdict(int)
        ended = threading.Event()
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            watcher = threading.Thread(target=watch_memory, args=(process.pid, peaks, ended))
            watcher.start()
            output, _ = process.communicate()
            ended.set()
            watcher.join()
        if process.returncode:
            raise SystemExit(f"the simulation failed with exit code {process.returncode}")
        return json.loads(output), peaks


def large(megabytes: int = 200, owners: int = 2, rounds: int = 2) -> None:
    result, peaks = simulate(owners, rounds, megabytes)
    model = megabytes * 1_000_000
    for role, peak in sorted(peaks.items(), key=lambda item: -item[1]):
        print(f"{role:12} peak {peak / 1e6:6.0f} MB, {peak / model:4.2f} times the model")
    sent = sum(traffic["bytes_sent"] for traffic in result["traffic"].values())
    received = sum(traffic["bytes_received"] for traffic in result["traffic"].values())
    for name, moved, times in (("sent", sent, 2), ("received", received, 1)):
        implied = model * owners * rounds * times
        print(f"{name:12} {moved / 1e6:8.1f} MB, {100 * (moved / implied - 1):+.3f} % of what the model implies")
    print(f"wall time    {result['wall_seconds']:.0f} s")


def many(rounds: int = 10) -> None:
    for owners in (5, 20):
        result, _ = simulate(owners, rounds, 1)
        bills = [bill["methods"] for account, bill in result["bill"].items() if account in result["owners"]]
        methods = sorted({method for bill in bills for method in bill} - {"changes.list"})
        print(f"{owners} owners, {rounds} rounds, {result['wall_seconds']:.0f} s; calls of one owner in one round:")
        for method in methods:
            calls = sum(bill.get(method, {}).get("calls", 0) for bill in bills)
            print(f"  {method:28} {calls / owners / rounds:5.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("large", "many"))
    {"large": large, "many": many}[parser.parse_args().which]()
