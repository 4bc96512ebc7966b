"""Results of runs for the report to show: one recorded, the others made, each with a difficulty of its own."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "results" / "digits.json"
HOSTILE = "</script><script>alert(1)</script><img src=//evil.example/x onerror=alert(2)>\"'&\x00\ud800"
METHODS = {"changes.list": 100, "files.get_media": 200, "files.create": 50, "files.list": 100, "files.delete": 50}


def recorded() -> dict[str, Any]:
    """Return what the run of three owners over three rounds saved."""
    result: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return result


def made(owners: int = 3, rounds: int = 3, *, seed: int = 1, work: float = 2.0) -> dict[str, Any]:
    """Make up a run; times are like those over the real Drive."""
    chance = random.Random(seed)
    names = [f"owner-{number:02}@hospital.example.org" for number in range(1, owners + 1)]
    now = 1_790_000_000.0
    timeline, metrics, traffic = [], [], {}
    for number in range(1, rounds + 1):
        for kind in ("train", "evaluate"):
            rows = [
                task(name, kind, str(number), now + 0.08 * place, chance=chance, work=work)
                for place, name in enumerate(names)
            ]
            timeline += rows
            now = max(row["received"] for row in rows) + 0.3
        loss = 2.3 * math.exp(-number / 12) + chance.gauss(0, 0.02)
        metrics.append(
            {
                "round": number,
                "train": {"train_loss": loss},
                "evaluate": {"eval_loss": loss * 1.05, "accuracy": 1 - loss / 2.6},
            }
        )
        received = sum(row["bytes"] for row in timeline if row["group"] == str(number))
        sent = 2 * owners * 5_900_000
        traffic[str(number)] = {
            "bytes_sent": sent,
            "bytes_received": received,
            "replies": 2 * owners,
            "errors": 0,
            "late": 0,
        }
    bill = {name: account(chance, rounds) for name in [*names, "aggregator@university.example.org"]}
    return {
        "project": "diabetes",
        "project_hash": "ab" * 32,
        "run_id": "4611686018427387904",
        "flwr": "1.41.0",
        "owners": names,
        "rounds": metrics,
        "traffic": traffic,
        "timeline": timeline,
        "bill": bill,
        "error": "",
        "wall_seconds": now - 1_790_000_000.0 + 9,
    }


def task(owner: str, kind: str, group: str, sent: float, *, chance: random.Random, work: float) -> dict[str, Any]:
    seen = sent + chance.uniform(0.8, 3.5)
    started = seen + chance.choice((0.01, 0.01, 0.9))
    finished = started + work * chance.uniform(0.5, 1.6) * (1.0 if kind == "train" else 0.3)
    return {
        "owner": owner,
        "type": kind,
        "group": group,
        "bytes": 5_900_000 if kind == "train" else 450,
        "error": "",
        "sent": sent,
        "seen": seen,
        "started": started,
        "finished": finished,
        "received": finished + chance.uniform(0.8, 2.5),
    }


def account(chance: random.Random, rounds: int) -> dict[str, Any]:
    calls = {method: rounds * chance.randint(2, 9) for method in METHODS}
    methods = {
        method: {"calls": n, "units": n * METHODS[method], "retries": 0, "bytes_up": 0, "bytes_down": 0}
        for method, n in calls.items()
    }
    units = sum(usage["units"] for usage in methods.values())
    return {"calls": sum(calls.values()), "units": units, "throttled": 0, "methods": methods}


def one_round() -> dict[str, Any]:
    return made(owners=1, rounds=1)


def many() -> dict[str, Any]:
    return made(owners=20, rounds=50)


def failing() -> dict[str, Any]:
    """A run with errors of every kind, gaps in its metrics, and a clock that is wrong."""
    result = made(owners=4, rounds=6)
    result["error"] = "no data owner could do 'evaluate'. The owners' logs have the tracebacks"
    result["rounds"][1]["train"]["train_loss"] = math.nan
    result["rounds"][3]["train"]["train_loss"] = math.inf
    del result["rounds"][2]["evaluate"]
    result["rounds"][4]["evaluate"] |= {"confusion": [[12, 3], [4, 9]], "note": "resampled", "improved": True}
    traceback = 'Traceback (most recent call last):\n  File "client.py", line 7, in train\n    x = 1 / 0\n'
    for row in result["timeline"]:
        owner = row["owner"]
        if owner.startswith("owner-02"):  # 90 s ahead
            for key in ("seen", "started", "finished"):
                row[key] += 90.0
        if owner.startswith("owner-03") and row["group"] == "2":
            row.update(error=f"{traceback}ZeroDivisionError: division by zero", bytes=1_200)
        if owner.startswith("owner-04") and row["group"] in ("4", "5"):
            reason = "no reply of owner-04@hospital.example.org within the message's ttl of 30 s"
            row.update(error=reason, seen=0.0, started=0.0, finished=0.0, bytes=0)
        if owner.startswith("owner-01") and row["group"] == "6":
            row.update(error="<class 'RuntimeError'>:<'out of memory'>", started=0.0, finished=0.0)
    for number in ("2", "4", "5", "6"):
        result["traffic"][number]["errors"] = 2
    result["traffic"]["3"]["late"] = 1
    return result


def silent() -> dict[str, Any]:
    """A run that ended before anybody answered."""
    result = made(owners=2, rounds=1)
    failure = "only 0 of 2 data owners came within 30 s"
    return result | {"rounds": [], "traffic": {}, "timeline": [], "bill": {}, "error": failure, "wall_seconds": None}


def bare() -> dict[str, Any]:
    return {}


def hostile() -> dict[str, Any]:
    """A run whose every text tries to get out of its place."""
    result = made(owners=2, rounds=2)
    for row in result["timeline"]:
        row.update(owner=HOSTILE + row["owner"], type=HOSTILE, group=HOSTILE + row["group"], error=HOSTILE)
    result["traffic"] = {HOSTILE + number: row for number, row in result["traffic"].items()}
    result["bill"] = {HOSTILE + name: row for name, row in result["bill"].items()}
    for row in result["bill"].values():
        row["methods"] = {HOSTILE + method: usage for method, usage in row["methods"].items()}
    for row in result["rounds"]:
        row["train"] = {HOSTILE: 1.0, "text": HOSTILE}
    texts = dict.fromkeys(("project", "project_hash", "run_id", "flwr", "error"), HOSTILE)
    return result | texts | {"owners": [HOSTILE + name for name in result["owners"]]}


def long_names() -> dict[str, Any]:
    """A run with long names, many metrics, a round that took hours, and values of any size."""
    result = made(owners=3, rounds=12, work=900.0)
    long = "a-very-long-project-name-that-nobody-should-give-but-somebody-will"
    names = {name: f"{'department-of-cardiology.' * 3}{name}" for name in result["owners"]}
    for row in result["timeline"]:
        row["owner"] = names[row["owner"]]
    for place, row in enumerate(result["rounds"]):
        row["server"] = {
            f"metric_with_a_long_name_number_{number}": value
            for number, value in enumerate((1e-9 * place, 1e300 * place, -5.0, 123456789.0 + place, 1 / (place + 1)))
        }
    return result | {"project": long, "owners": list(names.values())}


CASES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "recorded": recorded,
    "one-round": one_round,
    "many": many,
    "failing": failing,
    "silent": silent,
    "bare": bare,
    "hostile": hostile,
    "long-names": long_names,
}
