"""Profiles: how often each arm is right on each kind of task, and what it costs; measured, or weak priors.

A profile is a JSON file that people read, compare and edit: one line for each arm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.judgement.belief import Chances
from rheostat.task import Effort
from rheostat.visible import visible_json

__all__ = ["CORRECT", "FORMAT", "SAMPLE", "SHRINK", "Arm", "KindProfile", "Measured", "Profile"]

FORMAT: Final = "rheostat-profile-1"
SAMPLE: Final = "sample"
"""The strategy of an arm that draws a further sample, at a temperature, of a way that was drawn before."""
CORRECT: Final = "correct"
"""The strategy of an arm that corrects a refused answer on the verifier's reason."""
SHRINK: Final = 5.0
"""A kind's own counts weigh against the arm's rate on other kinds as if that had been seen on so many tasks."""
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Arm:
    """One way to get an answer: a model at an effort, asked in some way."""

    model: str
    effort: str = ""
    """The level; empty: it has none."""
    way: str = ""
    """The way of asking (docs/reference/answers.md); empty: the question as it is."""
    strategy: str = ""
    """Empty: a fresh answer; `sample`: a further one at a temperature; `correct`: a correction of a refused one."""
    clamp_tokens: int = 0
    """The most output tokens, where they are part of the arm; 0: the usual ones."""

    def __str__(self) -> str:
        clamp = f"≤ {self.clamp_tokens:,} tokens" if self.clamp_tokens else ""
        return " · ".join(each for each in (self.model, self.effort, self.way, self.strategy, clamp) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one arm on one kind of task. Counts may be fractions: old ones are forgotten."""

    right: float
    """The tasks that it answered rightly; of a correction: the refused answers that it corrected."""
    tried: float
    input_tokens: float = 0.0
    """Mean of one draw."""
    output_tokens: float = 0.0
    """Mean of one draw, with its thought."""
    usd: float | None = None
    """Mean price of one draw where it was recorded; else it follows from the tokens and today's price."""
    seconds: float | None = None
    cuts: tuple[float, ...] = ()
    """The limits between the bands of its score, ascending."""
    score_right: tuple[float, ...] = ()
    """The right answers in each band of the score."""
    score_wrong: tuple[float, ...] = ()
    date: str = ""
    """Of the latest measurement."""
    source: str = ""
    prior: bool = False
    """A weak prior from published results, not measured on your tasks."""
    learned: bool = False
    """From the verdicts of your runs, so only of arms that were played: the prior stands in for the others."""

    def __post_init__(self) -> None:
        for name in ("right", "tried", "input_tokens", "output_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise BadInput(f"{name} must be a number of at least 0, not {value!r}")
        if self.right > self.tried + 1e-9:
            raise BadInput(f"right ({self.right:g}) is more than tried ({self.tried:g})")
        bands = (len(self.score_right), len(self.score_wrong))
        if self.cuts and bands != (len(self.cuts) + 1,) * 2:
            raise BadInput(
                f"{len(self.cuts)} cuts make {len(self.cuts) + 1} bands of scores, not {bands[0]}, {bands[1]}"
            )

    def merged(self, other: Measured) -> Measured:
        """Both measurements together; a real one replaces a prior."""
        if self.prior != other.prior:
            return other if self.prior else self
        tried = self.tried + other.tried
        if not tried:
            return other

        def mean(one: float | None, two: float | None) -> float | None:
            if one is None or two is None:
                return one if two is None else two
            return (one * self.tried + two * other.tried) / tried

        newest = max(self, other, key=lambda each: (each.date, each.tried))
        same = self.cuts == other.cuts
        return replace(
            newest,
            right=self.right + other.right,
            tried=tried,
            input_tokens=mean(self.input_tokens, other.input_tokens) or 0.0,
            output_tokens=mean(self.output_tokens, other.output_tokens) or 0.0,
            usd=mean(self.usd, other.usd),
            seconds=mean(self.seconds, other.seconds),
            learned=self.learned and other.learned,
            score_right=_plus(self.score_right, other.score_right) if same else newest.score_right,
            score_wrong=_plus(self.score_wrong, other.score_wrong) if same else newest.score_wrong,
        )

    @property
    def rate(self) -> float:
        """The share of right answers."""
        return (self.right + 0.5) / (self.tried + 1)

    @property
    def bands(self) -> tuple[tuple[float, float], ...]:
        """For each band of the score: (P(band | right), P(band | wrong))."""
        count = len(self.score_right)
        if count < 2 or not self.cuts:
            return ()
        rights, wrongs = sum(self.score_right) + 2 * count, sum(self.score_wrong) + 2 * count
        pairs = zip(self.score_right, self.score_wrong, strict=True)
        return tuple(((right + 2) / rights, (wrong + 2) / wrongs) for right, wrong in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindProfile:
    """The arms on one kind of task, and how their answers hang together (see `rheostat.judgement.belief`)."""

    arms: dict[Arm, Measured] = field(default_factory=dict)
    spread: float = 1.5
    alike: float = 0.1
    lure: float = 0.0
    repeat: float = 0.5
    clue: float = 0.0
    """How much the difficulty score of a task (`rheostat.thinking.difficulty`) says about its ease: a correlation."""
    difficulty: float = 0.0
    """The mean difficulty score of the kind's tasks."""
    difficulty_spread: float = 0.0
    """Its standard deviation; 0: it wasn't measured."""
    tasks: float = 0.0
    """The tasks that these numbers were measured on; 0: they are assumed."""

    def ease(self, difficulty: float | None) -> float:
        """How easy a task of this difficulty score looks, in standard deviations from the mean."""
        if difficulty is None or not self.difficulty_spread:
            return 0.0
        return max(min((self.difficulty - difficulty) / self.difficulty_spread, 3.0), -3.0)

    def merged(self, other: KindProfile) -> KindProfile:
        """Both together; the three numbers are weighed by the tasks behind them."""
        arms = dict(self.arms)
        for arm, measured in other.arms.items():
            arms[arm] = arms[arm].merged(measured) if arm in arms else measured
        tasks = self.tasks + other.tasks
        share = other.tasks / tasks if tasks else 0.0

        def mean(one: float, two: float) -> float:
            return one + (two - one) * share

        numbers = {name: mean(getattr(self, name), getattr(other, name)) for name in _NUMBERS}
        return KindProfile(arms=arms, tasks=tasks, **numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Arms by kind of task."""

    kinds: dict[str, KindProfile] = field(default_factory=dict)

    # --- what it says -----------------------------------------------------------------------------

    def arms(self, kind: str) -> tuple[Arm, ...]:
        """The arms that something is known of for this kind; of a kind without a measurement: those of all kinds."""
        known = self.kinds.get(kind)
        if known is not None and known.arms:
            return tuple(sorted(known.arms))
        return tuple(sorted({arm for each in self.kinds.values() for arm in each.arms}))

    def rate(self, kind: str, arm: Arm, *, everywhere: bool = False) -> float:
        """P(right): this kind's own counts, drawn towards the arm's rate on all kinds, moved by how hard this kind is.

        So a few lucky tasks of one kind don't make another arm look better than the one that is best everywhere.

        Args:
            everywhere: By the rate on all kinds alone.
        """
        own = self.kinds.get(kind, KindProfile()).arms.get(arm)
        right, tried = (0.0, 0.0) if own is None else (own.right, own.tried)
        found = [each.arms[arm] for each in self.kinds.values() if arm in each.arms]
        if len(found) < 2 and own is not None:
            return (right + 0.5) / (tried + 1)
        expected = _rate(found)
        here = self.kinds.get(kind, KindProfile()).arms
        shared = [each for each in here if sum(each in one.arms for one in self.kinds.values()) > 1]
        if shared:
            there = (one.arms[each] for one in self.kinds.values() for each in shared if each in one.arms)
            harder = _logit(_rate(here[each] for each in shared)) - _logit(_rate(there))
            expected = _expit(_logit(expected) + harder)
        return expected if everywhere else (right + SHRINK * expected) / (tried + SHRINK)

    def tried(self, kind: str, arm: Arm) -> float:
        """The tasks of this kind that an arm was tried on."""
        own = self.kinds.get(kind, KindProfile()).arms.get(arm)
        return 0.0 if own is None else own.tried

    def measured(self, kind: str, arm: Arm) -> Measured | None:
        """What was measured of an arm: on this kind, else on all."""
        own = self.kinds.get(kind, KindProfile()).arms.get(arm)
        if own is not None:
            return own
        found: Measured | None = None
        for each in self.kinds.values():
            if arm in each.arms:
                found = each.arms[arm] if found is None else found.merged(each.arms[arm])
        return found

    def chances(self, kind: str, arms: Sequence[Arm], *, everywhere: bool = False) -> Chances:
        """The rates of these arms on a kind of task, for a belief."""
        known = self.kinds.get(kind) or KindProfile()
        numbers = {arm: number for number, arm in enumerate(arms)}
        follows = tuple(numbers.get(replace(arm, strategy=""), -1) if arm.strategy else -1 for arm in arms)
        found = [self.measured(kind, arm) for arm in arms]
        return Chances(
            rates=tuple(self.rate(kind, arm, everywhere=everywhere) for arm in arms),
            spread=known.spread,
            alike=known.alike,
            lure=known.lure,
            repeat=known.repeat,
            follows=follows,
            bands=tuple(() if each is None else each.bands for each in found),
        )

    # --- together ---------------------------------------------------------------------------------

    def merged(self, other: Profile) -> Profile:
        """Both profiles: counts add up, and real measurements replace priors."""
        kinds = dict(self.kinds)
        for name, each in other.kinds.items():
            kinds[name] = kinds[name].merged(each) if name in kinds else each
        return Profile(kinds=kinds)

    def keeping(self, models: Iterable[str]) -> Profile:
        """Only the arms of these models."""
        wanted = set(models)
        kinds = {
            name: replace(each, arms={arm: one for arm, one in each.arms.items() if arm.model in wanted})
            for name, each in self.kinds.items()
        }
        return Profile(kinds={name: each for name, each in kinds.items() if each.arms})

    def dropping(self, kind: str, arms: Collection[Arm]) -> Profile:
        """Without these arms of a kind."""
        left = {arm: one for arm, one in self.kinds[kind].arms.items() if arm not in arms}
        kinds = {**self.kinds, kind: replace(self.kinds[kind], arms=left)}
        return Profile(kinds={name: each for name, each in kinds.items() if each.arms})

    def without(self, model: str) -> Profile:
        """Without the arms of this model."""
        return self.keeping({arm.model for each in self.kinds.values() for arm in each.arms} - {model})

    # --- as a file --------------------------------------------------------------------------------

    def to_text(self) -> str:
        """JSON with one line for each arm, sorted, so that two versions can be compared."""
        kinds = ",\n".join(self._kind_text(name, self.kinds[name]) for name in sorted(self.kinds))
        return visible_json(f'{{"format": "{FORMAT}",\n "kinds": {{\n{kinds}\n }}}}\n')

    @staticmethod
    def _kind_text(name: str, kind: KindProfile) -> str:
        head = {each: round(getattr(kind, each), 4) for each in (*_NUMBERS, "tasks")}
        shown = ", ".join(f'"{key}": {json.dumps(value)}' for key, value in head.items())
        lines = ",\n".join(f"    {json.dumps(line, ensure_ascii=False)}" for line in _lines(kind))
        return f'  {json.dumps(name, ensure_ascii=False)}: {{{shown}, "arms": [\n{lines}\n  ]}}'

    @classmethod
    def read(cls, path: Path) -> Profile:
        """Read a profile from a file.

        Raises:
            BadInput: It isn't one; names the place and what is wrong.
        """
        return cls.from_text(read_text(path, "profile", most_bytes=_MOST_BYTES), str(path))

    @classmethod
    def from_text(cls, text: str, name: str = "profile") -> Profile:
        """The inverse of `to_text`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name}: not JSON ({error})") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            given = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise BadInput(f'{name} is no profile: expected {{"format": "{FORMAT}", "kinds": {{…}}}}, not {given!r}')
        kinds = data.get("kinds")
        if not isinstance(kinds, dict):
            raise BadInput(f'{name}: "kinds" is an object, one entry for each kind of task')
        return cls(kinds={kind: _kind(each, f"{name}, {kind}") for kind, each in kinds.items()})


def _lines(kind: KindProfile) -> Iterator[dict[str, Any]]:
    for arm in sorted(kind.arms):
        whole = {**asdict(arm), **asdict(kind.arms[arm])}
        yield {key: _short(value) for key, value in whole.items() if value not in ("", None, (), False, 0.0)} | {
            key: _short(whole[key]) for key in ("right", "tried")
        }


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if value != int(value) else int(value)
    return [_short(each) for each in value] if isinstance(value, tuple) else value


_NUMBERS: Final = ("spread", "alike", "lure", "repeat", "clue", "difficulty", "difficulty_spread")
_STRATEGIES: Final = ("", SAMPLE, CORRECT)
_ARM, _MEASURED = ({each.name for each in fields(kind)} for kind in (Arm, Measured))


def _kind(data: Any, where: str) -> KindProfile:
    if not isinstance(data, dict) or not isinstance(data.get("arms"), list):
        raise BadInput(f'{where}: a kind is {{"spread": …, "arms": [{{"model": …, "right": …, "tried": …}}]}}')
    arms: dict[Arm, Measured] = {}
    for number, line in enumerate(data["arms"], 1):
        at = f"{where}, arm {number}"
        if not isinstance(line, dict) or not isinstance(line.get("model"), str):
            raise BadInput(f'{at}: an arm is {{"model": "…", "right": …, "tried": …}}, not {line!r}')
        unknown = line.keys() - _ARM - _MEASURED
        if unknown:
            raise BadInput(f"{at}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(_ARM | _MEASURED))}")
        if line.get("effort", "") not in ("", *Effort.__members__) or line.get("strategy", "") not in _STRATEGIES:
            levels, strategies = ", ".join(Effort.__members__), ", ".join(filter(None, _STRATEGIES))
            raise BadInput(f"{at}: effort is one of {levels}, and strategy one of {strategies} or none, not {line!r}")
        try:
            arm = Arm(**{key: value for key, value in line.items() if key in _ARM})
            lists: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in line.items()
            }
            arms[arm] = Measured(**{key: value for key, value in lists.items() if key in _MEASURED})
        except (TypeError, BadInput) as error:
            raise BadInput(f"{at}: {error}") from None
    numbers: dict[str, float] = {}
    for key in (*_NUMBERS, "tasks"):
        value = data.get(key, getattr(KindProfile(), key))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**9:
            raise BadInput(f"{where}: {key} is a number of at least 0, not {value!r}")
        numbers[key] = value
    for key in ("alike", "repeat", "clue"):
        if numbers[key] > 1:
            raise BadInput(f"{where}: {key} is a probability, not {numbers[key]}")
    return KindProfile(arms=arms, **numbers)


def _rate(measured: Iterable[Measured]) -> float:
    listed = list(measured)
    return (sum(each.right for each in listed) + 0.5) / (sum(each.tried for each in listed) + 1)


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _plus(one: Sequence[float], two: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True)) if len(one) == len(two) else tuple(two)
