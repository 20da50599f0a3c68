"""Votes of rules: which label wins, and how sure it is.

Everything follows from which rules voted, so it is worked out once per pattern of votes, however
many particles share it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.labels.rules import Rule

Combine = Literal["majority", "weighted"]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """What a pattern of votes leads to: a label, or None with the reason for abstaining.

    ``confidence`` is the share of votes (or of weight) that the leading label got.
    """

    label: str | None
    confidence: float | None
    reason: str


def decide(
    fired: Bools, rules: Sequence[Rule], *, combine: Combine, min_confidence: float
) -> Verdict:
    """Combine the votes on one particle.

    Parameters
    ----------
    fired : (R,) ndarray of bool
        Which rules voted.
    rules : sequence of Rule
        The R rules.
    combine : "majority" or "weighted"
        Whether votes count alike or by their rule's weight.
    min_confidence : float
        0 to 1; a winner with a smaller share of the votes is not taken.

    Returns
    -------
    verdict : Verdict
        Without label if no rule voted, if two labels lead together, or below
        ``min_confidence``.
    """
    voters: dict[str, list[Rule]] = {}
    for rule, voted in zip(rules, fired, strict=True):
        if voted:
            voters.setdefault(rule.label, []).append(rule)
    if not voters:
        return Verdict(None, None, "no rule voted")
    # Exactly rounded sums, so that 0.1 + 0.2 ties with 0.3 whatever the order of the rules.
    power = {
        label: math.fsum(rule.weight if combine == "weighted" else 1.0 for rule in those)
        for label, those in voters.items()
    }
    ranked = sorted(power, key=lambda label: (-power[label], label))
    sides = " against ".join(", ".join(rule.name for rule in voters[label]) for label in ranked)
    confidence = power[ranked[0]] / math.fsum(power.values())
    if len(ranked) > 1 and math.isclose(power[ranked[0]], power[ranked[1]], rel_tol=1e-9):
        return Verdict(None, confidence, f"tie: {sides}")
    if confidence < min_confidence:
        return Verdict(None, confidence, f"confidence below {min_confidence:g}: {sides}")
    return Verdict(ranked[0], confidence, sides)


def vote_patterns(fired: Bools) -> tuple[Bools, NDArray[np.int64]]:
    """Find the different patterns of votes.

    Parameters
    ----------
    fired : (N, R) ndarray of bool
        Which rules voted on which particle.

    Returns
    -------
    patterns : (P, R) ndarray of bool
        Each pattern once, in an order that depends on nothing else.
    pattern_of : (N,) ndarray of int
        ``patterns[pattern_of]`` equals ``fired``.
    """
    packed = np.packbits(fired, axis=1)
    # Sorting single words is many times faster than sorting rows.
    words = np.zeros((len(fired), -(-packed.shape[1] // 8)), np.dtype(">u8"))
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    if words.shape[1] == 1:
        _, first, pattern_of = np.unique(words[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, pattern_of = np.unique(words, axis=0, return_index=True, return_inverse=True)
    return fired[first], pattern_of.reshape(-1)
