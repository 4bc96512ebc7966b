"""Random faults, kills and clock steps, one after the other and together: no loss, no repetition."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from parties import Party, World

from syft_flwr.testing import DriveEmulator, FaultRelay
from syft_flwr.testing.fault_kinds import KINDS, METHODS

OWNERS = ("one@hospital.example", "two@hospital.example")
ASKERS = ("lab@university.example", "group@institute.example")
SLOW_KINDS = {"hung", "dripping", "late"}
"""They take the test's own seconds; the suite of kinds has them."""
HOUR = 3_600.0


@pytest.mark.parametrize(
    ("seed", "rounds", "threads"),
    [
        (1, 20, False),
        (2, 20, False),
        (3, 5, True),
        pytest.param(4, 1_500, False, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)]),
        pytest.param(5, 100, True, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)]),
    ],
)
def test_whatever_goes_wrong_together_nothing_is_lost_or_repeated(
    tmp_path: Path, seed: int, rounds: int, threads: bool
) -> None:
    randoms = random.Random(seed)
    with DriveEmulator() as drive, FaultRelay(drive.url, seed=seed) as relay:
        world = World(drive, relay, tmp_path, threads=threads)
        owners = [world.party(email, answers=True) for email in OWNERS]
        askers = [world.party(email) for email in ASKERS]
        asked: list[tuple[Party, str, bytes]] = []
        answered = 0
        for number in range(rounds):
            for _ in range(randoms.randrange(3)):
                body = b"%d %s" % (number, randoms.randbytes(randoms.choice((20, 9_000))))
                asker = randoms.choice(askers)
                if (future := world.ask(asker, randoms.choice(owners), body)) is not None:
                    asked.append((asker, future, body))
            trouble(world, randoms)
            for _ in range(randoms.randrange(1, 4)):
                world.step(randoms.choice((1.0, 10.0, 60.0)))
            if randoms.random() < 0.5:
                relay.clear()
            open_still = [each for each in asked if not told(world, each)]
            answered += len(asked) - len(open_still)
            asked = open_still
        relay.clear()
        for _ in range(60):
            world.step(60.0)
            if all(told(world, each) for each in asked):
                break
        lost = [body[:30] for asker, future, body in asked if not told(world, (asker, future, body))]
        world.close()
    assert answered + len(asked) > rounds / 2
    assert lost == []
    assert {body[:30]: times for body, times in world.handled.items() if times > 1} == {}


def trouble(world: World, randoms: random.Random) -> None:
    """Let something go wrong: on the way, with a process, or with the machine's clock."""
    what = randoms.random()
    if what < 0.6:
        kind = KINDS[randoms.choice(sorted(KINDS.keys() - SLOW_KINDS))]
        method = randoms.choice(sorted(kind.methods & METHODS))
        account = randoms.choice([None, *OWNERS, *ASKERS])
        world.relay.add(
            kind.name, method=method, account=account, rate=randoms.choice((0.3, 1.0)), applied=randoms.random() < 0.5
        )
    elif what < 0.8:
        world.party(randoms.choice(OWNERS + ASKERS)).close()
    else:
        world.clock.shift = randoms.choice((0.0, -HOUR, HOUR, -30 * 24 * HOUR, 30 * 24 * HOUR))


def told(world: World, asked: tuple[Party, str, bytes]) -> bool:
    """Tell whether the sender has the reply, or an error reply that says why there is none."""
    asker, future, body = asked
    answer = world.answer(asker, future)
    return answer == body[::-1] or b'"error"' in (answer or b"")
