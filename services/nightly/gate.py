"""May the candidate become champion? Both answer for the same particles; chance is allowed for."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.classification import mean_interval
from pipelines.randomness import generator

#: Who promotes, where no person does.
AUTHOR = "tessera relabel"
#: The set that decides whether there is a first champion, and one that may speak against any.
TRUSTED, NEWEST = "trusted", "newest"


@dataclass(frozen=True)
class Answers:
    """What models say of particles whose class is known and that neither was trained on.

    Attributes
    ----------
    name : str
        Which particles: "trusted" or "newest".
    particle_ids : (N,) ndarray of int
    known : (N,) ndarray of str
        Their classes.
    candidate : (N,) ndarray of str
        What the candidate says.
    champion : (N,) ndarray of str, optional
        What the champion says, where there is one.
    """

    name: str
    particle_ids: NDArray[np.int64]
    known: NDArray[np.str_]
    candidate: NDArray[np.str_]
    champion: NDArray[np.str_] | None = None


@dataclass(frozen=True)
class Comparison:
    """Shares of right answers, every class counted alike, 0 to 1; nan where nothing is known.

    ``difference`` is candidate minus champion, with its 95 % interval over particles (``low``,
    ``high``). Without a champion it is candidate minus chance, the share that one answer for
    all particles gets right.
    """

    name: str
    n_particles: int
    n_classes: int
    candidate: float
    champion: float
    difference: float
    low: float
    high: float

    @property
    def reach(self) -> str:
        """Say the difference and its interval, in points of a hundred."""
        ends = f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"
        return f"{100 * self.difference:+.1f} points ({ends})"


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate becomes champion, and why or why not."""

    promote: bool
    why: str
    comparisons: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-like values: numbers that are not known as None."""
        rows = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            for row in (asdict(comparison) for comparison in self.comparisons)
        ]
        return {"promote": self.promote, "why": self.why, "comparisons": rows}


def compare(answers: Answers, *, seed: int) -> Comparison:
    """Compare candidate and champion, or candidate and chance, by a paired bootstrap.

    Classes count alike, however rare: a model that gives up a rare class is not good.
    """
    names, index = np.unique(answers.known, return_inverse=True)
    n = len(answers.known)
    if not n:
        return Comparison(answers.name, 0, 0, *[math.nan] * 5)
    # Each particle weighs so that the mean over particles is the mean over classes.
    weights = n / (len(names) * np.bincount(index)[index])
    candidate = (answers.candidate == answers.known) * weights
    if answers.champion is None:
        champion, base = math.nan, np.full(n, 1 / len(names))
    else:
        right = (answers.champion == answers.known) * weights
        champion, base = float(right.mean()), right
    gain = candidate - base
    low, high = mean_interval(gain, answers.particle_ids, rng=generator(seed, "gate", answers.name))
    return Comparison(
        answers.name,
        n,
        len(names),
        float(candidate.mean()),
        champion,
        float(gain.mean()),
        low,
        high,
    )


def decide(comparisons: Sequence[Comparison], *, margin: float, min_judged: int) -> Verdict:
    """Decide whether a candidate takes a champion's place.

    It does if it is better by the margin on one set, with an interval above zero, and worse by
    the margin on none. Sets of fewer than ``min_judged`` particles decide nothing.
    """
    said = tuple(comparisons)
    counted = [c for c in said if c.n_particles >= min_judged]
    if not counted:
        return Verdict(False, _too_few(said, min_judged), said)
    for worse in counted:
        if worse.difference <= -margin:
            return Verdict(False, f"not promoted: {worse.reach} on the {_of(worse)}", said)
    better = [c for c in counted if c.difference >= margin and c.low > 0]
    if better:
        return Verdict(True, f"better by {better[0].reach} on the {_of(better[0])}", said)
    best = max(counted, key=lambda comparison: comparison.difference)
    rule = f"a gain of {100 * margin:g} points with an interval above zero is needed"
    return Verdict(False, f"not promoted: {best.reach} on the {_of(best)}; {rule}", said)


def decide_first(comparisons: Sequence[Comparison], *, min_judged: int) -> Verdict:
    """Decide whether the first candidate becomes champion: better than chance on trusted labels.

    Chance is what one answer for all particles gets, so that trusted labels of one class alone
    prove nothing.
    """
    said = tuple(comparisons)
    trusted = next((c for c in said if c.name == TRUSTED), None)
    if trusted is None or not trusted.n_particles:
        why = (
            "not promoted: there are no trusted labels to judge by; give some "
            "(tessera trust), or promote it by hand (tessera models promote)"
        )
        return Verdict(False, why, said)
    if trusted.n_particles < min_judged:
        return Verdict(False, _too_few([trusted], min_judged), said)
    if trusted.n_classes < 2:
        why = "not promoted: all trusted labels are of one class, which proves nothing"
        return Verdict(False, why, said)
    if trusted.low > 0:
        why = f"first champion: {trusted.reach} above chance on the {_of(trusted)}"
        return Verdict(True, why, said)
    why = f"not promoted: {trusted.reach} against chance on the {_of(trusted)}"
    return Verdict(False, why, said)


def _of(comparison: Comparison) -> str:
    return f"{comparison.n_particles} {comparison.name} particles"


def _too_few(comparisons: Sequence[Comparison], min_judged: int) -> str:
    n_most = max((c.n_particles for c in comparisons), default=0)
    return (
        f"not promoted: {n_most} particles of known class are too few to judge by, "
        f"{min_judged} are needed"
    )
