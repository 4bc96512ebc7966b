"""A federation that nobody looks after: kills, outages, faults, a late owner and one that comes now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, Party, parties

from syft_flwr.testing import DriveEmulator

Start = Callable[..., Party]
ROUNDS = 4


@dataclass(frozen=True)
class Scale:
    """How large and how long: seconds of each outage, by which one owner is late, and between visits of another."""

    owners: int
    outage: float
    late: float
    pause: float | None = None


SMALL = Scale(owners=2, outage=0.0, late=0.0)
FULL = Scale(owners=5, outage=60.0, late=300.0, pause=30.0)


def expected_mean(owners: int) -> np.ndarray:
    """Return what FedAvg must come to, by hand."""
    data = [np.random.default_rng(number).normal(1.0, 0.1, size=(20, 4)) for number in range(owners)]
    mean = np.zeros(4)
    for _ in range(ROUNDS):
        mean = np.mean([mean + 0.5 * (each.mean(axis=0) - mean) for each in data], axis=0)
    return mean


@contextmanager
def visits(start: Start, owner: str, pause: float | None) -> Iterator[None]:
    """Let an owner come every so many seconds, answer what waits, and go."""
    over = threading.Event()

    def come() -> None:
        while pause is not None and not over.is_set():
            start(owner, "--once").finish(300.0)
            over.wait(pause)

    visitor = threading.Thread(target=come)
    visitor.start()
    try:
        yield
    finally:
        over.set()
        visitor.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SMALL, marks=pytest.mark.timeout(300), id="small"),
        pytest.param(FULL, marks=pytest.mark.timeout(2400), id="full"),
    ],
)
def test_a_federation_comes_through_kills_outages_and_absences_with_right_numbers(
    drive_emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Scale
) -> None:
    hold, out = tmp_path / "hold", tmp_path / "out"
    hold.touch()
    monkeypatch.setenv("ZOO_HOLD", str(hold))
    emails = [f"do{number}@example.com" for number in range(1, scale.owners + 1)]
    passing = threading.Event()
    with parties(
        zoo_project(tmp_path, "central", "counting", rounds=ROUNDS), emails, drive_emulator.host, tmp_path / "state"
    ) as start:
        first, *others = emails
        stay, visitor = (others, None) if scale.pause is None else (others[:-1], others[-1])
        *punctual, late = stay

        def outage(*witnesses: Party) -> None:
            """Drive can't be reached, until all have seen it and time is up."""
            counts = [sum(event["event"] == "outage" for event in witness.events) for witness in witnesses]
            with drive_emulator.fault("error", status=503):
                for witness, count in zip(witnesses, counts, strict=True):
                    witness.wait_for_another("outage", count)
                passing.wait(scale.outage)

        with (
            drive_emulator.fault("error", status=500, rate=0.02),
            visits(start, visitor or "", scale.pause),
        ):
            aggregator = start(AGGREGATOR, "--out", str(out))
            running = {owner: start(owner) for owner in (first, *punctual)}
            aggregator.wait_for("owner", owner=first, state="present", timeout=120.0)
            passing.wait(scale.late)
            running[late] = start(late)
            running[first].wait_for("working", group="2", timeout=600.0)
            outage(aggregator, running[late])
            running[first].kill()
            hold.unlink()
            running[first] = start(first)
            aggregator.wait_for("checkpoint", round=2, timeout=600.0)
            aggregator.kill()
            if scale.pause is not None:
                running[late].kill()
                running[late] = start(late)
                outage(running[first])
            resumed = start(AGGREGATOR, "--resume")
            code, result = resumed.finish(1200.0)
        assert code == 0, resumed.story()
        assert resumed.wait_for("resumed")["round"] == 2
        assert [row["train"]["count"] for row in result["rounds"] if "train" in row] == pytest.approx([1, 2, 3, 4])
        with np.load(out / "arrays.npz") as arrays:
            np.testing.assert_allclose(arrays["mean"], expected_mean(scale.owners), rtol=1e-12)
        assert [owner.finish(120.0)[0] for owner in running.values()] == [0] * len(running)
