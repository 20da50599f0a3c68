"""Weak labels: particles and rules in, rows of the label table out.

The particle is the unit: mirrored copies, which bring the opposite hand, are made at training
and never stand in the table.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.labels.rules import Rule
from pipelines.labels.table import GIVEN
from pipelines.labels.vote_report import UNKNOWN, VoteReport, class_names, report_votes
from pipelines.labels.votes import Bools, Combine, decide, vote_patterns
from pipelines.tables import to_table

#: Columns of a particle that a label row repeats.
IDENTITY = ("particle_id", "mosaic", "instance", "segmentation")
#: From this many particles on, spreading them over actors pays for starting them: actors take
#: about four seconds to come up, in which one process labels two million particles.
STREAM_FROM_N_PARTICLES = 3_000_000

ASSUMED = "assumed"
RULES = "rules"
MADE_WRONG = "truth made wrong"

Floats = NDArray[np.float64]


class WeakLabeller:
    """Labels batches of particles by rules; built once per actor, or once in this process.

    Parameters
    ----------
    rules : sequence of Rule
        The rules.
    combine : "majority" or "weighted"
        How votes are combined.
    min_confidence : float
        0 to 1; winners below it abstain.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        combine: Combine,
        min_confidence: float,
    ) -> None:
        self._rules = rules
        self._combine = combine
        self._min_confidence = min_confidence

    def __call__(self, particles: pa.Table) -> pa.Table:
        """Label particles that `add_statistics` has prepared.

        Returns
        -------
        labelled : pyarrow.Table
            A label row per particle, in order, and a column ``fired``: which rules voted.
        """
        fired = self._fired(particles)
        patterns, pattern_of = vote_patterns(fired)
        verdicts = [
            decide(pattern, self._rules, combine=self._combine, min_confidence=self._min_confidence)
            for pattern in patterns
        ]
        index = pa.array(pattern_of)
        n_rows = particles.num_rows
        rows = to_table(
            "labels",
            {
                **{name: particles[name] for name in IDENTITY},
                "label": pa.array([v.label for v in verdicts], pa.string()).take(index),
                "state": _repeat(GIVEN, n_rows),
                "source": _repeat(RULES, n_rows),
                "method": _repeat(self._combine, n_rows),
                "confidence": pa.array([v.confidence for v in verdicts], pa.float64()).take(index),
                "decided_by": _repeat(RULES, n_rows),
                "reason": pa.array([v.reason for v in verdicts], pa.string()).take(index),
            },
        )
        width = len(self._rules)
        flat = pa.array(fired.reshape(-1))
        return rows.append_column("fired", pa.FixedSizeListArray.from_arrays(flat, width))

    def _fired(self, particles: pa.Table) -> Bools:
        columns = float_columns(particles, self._rules)
        fired = np.zeros((particles.num_rows, len(self._rules)), dtype=bool)
        for i, rule in enumerate(self._rules):
            names = _statistic_columns(i, rule)
            values = [particles[name].to_numpy() for name in names]
            fired[:, i] = rule.condition.holds(columns, values)
        return fired


def assume_label(particles: pa.Table, label: str) -> pa.Table:
    """Give every particle the class that the synthesis should have made.

    Parameters
    ----------
    particles : pyarrow.Table
        With the columns `IDENTITY`.
    label : str
        The class.
    """
    reason = f"all of the mosaic are assumed {label}"
    return _as_rows(particles, _repeat(label, particles.num_rows), "assume", ASSUMED, reason)


def state_labels(
    particles: pa.Table, labels: Sequence[str], *, error_rate: float, noise: str
) -> pa.Table:
    """Give particles labels that were made wrong on purpose, for studies.

    Parameters
    ----------
    particles : pyarrow.Table
        With the columns `IDENTITY`.
    labels : sequence of str
        A label each.
    error_rate : float
        The share that is wrong, 0 to 1: told in every row, so that nobody takes them for more.
    noise : str
        How they were made wrong.
    """
    method = f"truth, {noise} {error_rate:g}"
    reason = f"the truth, with {error_rate:.3g} of the labels made wrong ({noise})"
    return _as_rows(particles, pa.array(labels, pa.string()), method, MADE_WRONG, reason)


def _as_rows(
    particles: pa.Table, labels: pa.Array, method: str, source: str, reason: str
) -> pa.Table:
    n_rows = particles.num_rows
    return to_table(
        "labels",
        {
            **{name: particles[name] for name in IDENTITY},
            "label": labels,
            "state": _repeat(GIVEN, n_rows),
            "source": _repeat(source, n_rows),
            "method": _repeat(method, n_rows),
            "confidence": pa.array(np.ones(n_rows)),
            "decided_by": _repeat(source, n_rows),
            "reason": _repeat(reason, n_rows),
        },
    )


def rule_columns(rules: Sequence[Rule]) -> list[str]:
    """Return the columns of particles that `WeakLabeller` needs for these rules."""
    return [*IDENTITY, *sorted({name for rule in rules for name in rule.condition.columns})]


def add_statistics(particles: pa.Table, rules: Sequence[Rule]) -> pa.Table:
    """Add what rules need to know of each mosaic as a whole, such as quantiles, to its particles.

    As columns, because a batch of a mosaic's particles could not work them out again, and because
    actors that are restarted get their particles anew but not large arguments.
    """
    if not any(rule.condition.n_statistics for rule in rules):
        return particles
    mosaics = pc.dictionary_encode(particles["mosaic"].combine_chunks())
    mosaic_of = mosaics.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(mosaic_of, kind="stable")
    n_mosaics = len(mosaics.dictionary)
    bounds = np.searchsorted(mosaic_of[order], np.arange(n_mosaics + 1))
    columns = float_columns(particles, rules)
    for i, rule in enumerate(rules):
        values = np.empty((n_mosaics, rule.condition.n_statistics))
        for k in range(n_mosaics):
            rows = order[bounds[k] : bounds[k + 1]]
            values[k] = rule.condition.statistics(
                {name: columns[name][rows] for name in rule.condition.columns}
            )
        for name, of_mosaic in zip(_statistic_columns(i, rule), values.T, strict=True):
            particles = particles.append_column(name, pa.array(of_mosaic[mosaic_of]))
    return particles


def report_rules(
    labelled: pa.Table, rules: Sequence[Rule], truth: pa.Table | None = None
) -> VoteReport:
    """Report on the rules from the rows that `WeakLabeller` returned.

    Parameters
    ----------
    labelled : pyarrow.Table
        With the column ``fired``.
    rules : sequence of Rule
        The rules.
    truth : pyarrow.Table, optional
        Columns ``particle_id`` and ``label``: true labels where known.
    """
    fired = labelled["fired"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return report_votes(
        fired.reshape(labelled.num_rows, len(rules)),
        rules,
        _class_indices(labelled["label"].combine_chunks(), rules),
        None if truth is None else _class_indices(_truth_of(labelled, truth), rules),
    )


def share_right(rows: pa.Table, truth: pa.Table) -> float | None:
    """Return the share of labels that are the true ones, where both are known; None if nowhere."""
    right = pc.equal(rows["label"].combine_chunks(), _truth_of(rows, truth)).drop_null()
    return float(right.to_numpy(zero_copy_only=False).mean()) if len(right) else None


def float_columns(particles: pa.Table, rules: Sequence[Rule]) -> dict[str, Floats]:
    """Return the columns that rules read as float64, nan where null; booleans as 0 and 1."""
    # The id comes along so that rules without any column still know how many rows there are.
    names = {"particle_id", *(name for rule in rules for name in rule.condition.columns)}
    return {
        name: particles[name].cast(pa.float64(), safe=False).to_numpy() for name in sorted(names)
    }


def _truth_of(rows: pa.Table, truth: pa.Table) -> pa.Array:
    """Return the true label of every row, null where unknown."""
    row = pc.index_in(rows["particle_id"], value_set=truth["particle_id"].combine_chunks())
    return truth["label"].combine_chunks().take(row.combine_chunks())


def _class_indices(labels: pa.Array, rules: Sequence[Rule]) -> NDArray[np.int64]:
    """Turn labels into class indices: null is unknown, a class that no rule gives comes last."""
    classes = class_names(rules)
    index = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    found = pc.fill_null(index, len(classes)).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(labels.is_valid().to_numpy(zero_copy_only=False), found, UNKNOWN)


def _statistic_columns(index: int, rule: Rule) -> list[str]:
    return [f"statistic {index} {j}" for j in range(rule.condition.n_statistics)]


def _repeat(text: str, n_rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n_rows)
