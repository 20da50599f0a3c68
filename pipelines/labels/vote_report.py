"""How rules get on with the particles, with each other and with the truth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.labels.rules import Rule

Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]

#: Class index of a particle without label, or without known truth.
UNKNOWN = -1


@dataclass(frozen=True)
class RuleReport:
    """How one rule behaved, as shares of all particles.

    ``overlap``: it voted and so did another; ``conflict``: another voted for another label.
    ``accuracy`` is the share of its votes that are right where truth is known, else None.
    """

    name: str
    expression: str
    label: str
    weight: float
    n_votes: int
    coverage: float
    overlap: float
    conflict: float
    accuracy: float | None


@dataclass(frozen=True)
class VoteReport:
    """How the rules behaved together, as shares of all particles.

    ``coverage``: at least one rule voted; ``overlap``: at least two; ``conflict``: for different
    labels. ``accuracy`` is that of the labels given where truth is known, else None.
    """

    n_particles: int
    n_labelled: int
    coverage: float
    overlap: float
    conflict: float
    accuracy: float | None
    n_with_truth: int
    labels: dict[str, int]
    rules: tuple[RuleReport, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-like values."""
        return asdict(self)

    def table(self) -> str:
        """Return the report as an aligned table, a line per rule and one for all together."""
        lines: list[tuple[str, ...]] = [
            ("rule", "label", "weight", "votes", "coverage", "overlap", "conflict", "right")
        ]
        for rule in self.rules:
            shares = (rule.coverage, rule.overlap, rule.conflict, rule.accuracy)
            counts = (f"{rule.weight:g}", str(rule.n_votes))
            lines.append((rule.name, rule.label, *counts, *map(_percent, shares)))
        shares = (self.coverage, self.overlap, self.conflict, self.accuracy)
        counts = ("", str(self.n_labelled))
        lines.append(("together", f"{len(self.labels)} classes", *counts, *map(_percent, shares)))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                # Names are read from the left, numbers from the right.
                text.ljust(width) if column < 2 else text.rjust(width)
                for column, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def class_names(rules: Sequence[Rule]) -> list[str]:
    """Return the labels that rules give, sorted; class indices count along it."""
    return sorted({rule.label for rule in rules})


def report_votes(
    fired: Bools, rules: Sequence[Rule], given: Indices, truth: Indices | None = None
) -> VoteReport:
    """Report how rules covered the particles, agreed and fared against the truth.

    Parameters
    ----------
    fired : (N, R) ndarray of bool
        Which rules voted on which particle.
    rules : sequence of Rule
        The R rules.
    given : (N,) ndarray of int
        Labels that came of it, as indices into `class_names`; `UNKNOWN` for abstentions.
    truth : (N,) ndarray of int, optional
        True labels likewise; an index beyond the classes is a class that no rule gives.
    """
    classes = class_names(rules)
    class_of_rule = np.array([classes.index(rule.label) for rule in rules])
    if truth is None:
        truth = np.full(len(fired), UNKNOWN)
    n_votes = fired.sum(axis=1)
    n_votes_for = np.stack([fired[:, class_of_rule == k].sum(axis=1) for k in range(len(classes))])
    compared = (given != UNKNOWN) & (truth != UNKNOWN)
    reports = []
    for i, rule in enumerate(rules):
        voted = fired[:, i]
        others = n_votes - n_votes_for[class_of_rule[i]]
        reports.append(
            RuleReport(
                name=rule.name,
                expression=rule.condition.text,
                label=rule.label,
                weight=rule.weight,
                n_votes=int(voted.sum()),
                coverage=_share(voted),
                overlap=_share(voted & (n_votes > 1)),
                conflict=_share(voted & (others > 0)),
                accuracy=_mean(truth[voted & (truth != UNKNOWN)] == class_of_rule[i]),
            )
        )
    return VoteReport(
        n_particles=len(fired),
        n_labelled=int((given != UNKNOWN).sum()),
        coverage=_share(n_votes > 0),
        overlap=_share(n_votes > 1),
        conflict=_share((n_votes_for > 0).sum(axis=0) > 1),
        accuracy=_mean(given[compared] == truth[compared]),
        n_with_truth=int((truth != UNKNOWN).sum()),
        labels={name: int((given == k).sum()) for k, name in enumerate(classes)},
        rules=tuple(reports),
    )


def _share(of: Bools) -> float:
    return float(of.mean()) if of.size else 0.0


def _mean(right: Bools) -> float | None:
    return float(right.mean()) if right.size else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
