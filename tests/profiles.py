"""Profiles and trials for tests."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from rheostat.judgement.fitting import Trial
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, KindProfile, Measured, Profile

STEPS = Arm(model="small", effort="none", way="steps")
PROGRAM = Arm(model="small", effort="none", way="program")
FUNCTION = Arm(model="small", effort="none", way="function")
AGAIN = Arm(model="small", effort="none", way="steps", strategy=SAMPLE)
FIX = Arm(model="small", effort="none", way="steps", strategy=CORRECT)
LARGE = Arm(model="large", effort="low", way="steps")


def measured(rate: float, tokens: float, tried: float = 100, usd: float | None = None) -> Measured:
    return Measured(right=rate * tried, tried=tried, output_tokens=tokens, input_tokens=50, usd=usd)


def two_models() -> Profile:
    """A cheap and a dear model on word problems."""
    arms = {
        STEPS: measured(0.7, 100),
        PROGRAM: measured(0.6, 90),
        FUNCTION: measured(0.6, 80),
        AGAIN: measured(0.3, 100),
        FIX: measured(0.3, 120),
        LARGE: measured(0.95, 900),
    }
    return Profile(kinds={"maths": KindProfile(arms=arms, spread=1.5, alike=0.1, repeat=0.5, tasks=100)})


def trials(
    rates: dict[str, float],
    *,
    tasks: int,
    spread: float,
    alike: float = 0.1,
    repeat: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> Iterator[Trial]:
    """Trials as the model of `rheostat.judgement.belief` supposes them."""  # fmt: skip
    dice = random.Random(seed)
    offsets = {arm: _offset(rate, spread) for arm, rate in rates.items()}
    for task in range(tasks):
        ease = dice.gauss(0, 1)
        wrong = 0
        for arm, cost in rates.items():
            drawn: list[tuple[str, bool]] = []
            for _ in range(samples):
                if drawn and dice.random() < repeat:
                    drawn.append(dice.choice(drawn))
                elif dice.random() < 1 / (1 + math.exp(-spread * ease - offsets[arm])):
                    drawn.append(("right", True))
                else:
                    wrong += 1
                    drawn.append(("wrong" if dice.random() < math.sqrt(alike) else f"wrong {wrong}", False))
            for answer, right in drawn:
                yield Trial(
                    task=str(task), arm=Arm(model=arm), right=right, kind="maths", answer=answer, usd=cost,
                    output_tokens=100 * cost, difficulty=0.5 - ease / 10 + dice.gauss(0, 0.05),
                )  # fmt: skip


def _offset(rate: float, spread: float) -> float:
    dice = random.Random(1)
    eases = [dice.gauss(0, 1) for _ in range(2_000)]
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        mean = sum(1 / (1 + math.exp(-spread * ease - middle)) for ease in eases) / len(eases)
        low, high = (middle, high) if mean < rate else (low, middle)
    return low
