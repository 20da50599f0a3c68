"""Judged labels as the label table keeps them: its rows, and what the version says of itself."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.labels.table import (
    ACCEPTED,
    FLAGGED,
    FOLLOWERS,
    GIVEN,
    PENDING,
    PROPOSED,
    REJECTED,
    UNDETERMINABLE,
)
from pipelines.tables import to_table
from services.cleaning.judging import Cleaning

SOURCE = "clean"
#: Who decided: a person who reviewed the particle, or the rule about audited precision.
PERSON, POLICY = "audit", "policy"
#: States that cleaning brings labels into.
OUTCOMES = (PROPOSED, ACCEPTED, UNDETERMINABLE, FLAGGED, REJECTED)


def to_rows(cleaning: Cleaning, newest_states: NDArray[np.str_], *, method: str) -> pa.Table:
    """Turn judged labels into rows of the label table: those that change.

    Parameters
    ----------
    newest_states : (N,) ndarray of str
        States in the newest version: what somebody decided there already is left alone.
    method : str
        How the labels were found.
    """
    names = np.array([*cleaning.classes, None], dtype=object)
    states = cleaning.states
    pairs = {
        (newest, state)
        for newest, state in set(zip(newest_states.tolist(), states.tolist(), strict=True))
        if state != GIVEN and newest in (GIVEN, *PENDING) and state in FOLLOWERS[newest]
    }
    changed = np.flatnonzero(
        np.logical_or.reduce(
            [np.zeros(len(states), dtype=bool)]
            + [(newest_states == newest) & (states == state) for newest, state in pairs]
        )
    )
    given, likeliest = cleaning.given_labels[changed], cleaning.issues.proposed_labels[changed]
    rows = np.arange(len(changed))
    probs = cleaning.pred_probs[changed]
    by_person = cleaning.is_decided_by_person[changed]
    by_rule = np.where(states[changed] == ACCEPTED, POLICY, SOURCE)
    identity = cleaning.rows.take(changed)
    return to_table(
        "labels",
        {
            **{name: identity[name] for name in identity.column_names},
            # The last name, None, is that of `UNKNOWN`.
            "label": names[cleaning.cleaned_labels[changed]],
            "state": states[changed],
            "source": np.full(len(changed), SOURCE),
            "method": np.full(len(changed), method),
            "confidence": np.where(by_person, 1.0, np.minimum(probs[rows, likeliest], 1.0)),
            "decided_by": np.where(by_person, PERSON, by_rule),
            "reason": [
                f"given {was} ({p_was:.3f}); likeliest {would_be} ({p_would_be:.3f})"
                for was, p_was, would_be, p_would_be in zip(
                    names[given],
                    probs[rows, given].tolist(),
                    names[likeliest],
                    probs[rows, likeliest].tolist(),
                    strict=True,
                )
            ],
        },
    )


def to_report(cleaning: Cleaning) -> dict[str, Any]:
    """Return what a label version remembers of its making, as JSON-like values."""
    noise = cleaning.issues.noise
    report = {
        "classes": list(cleaning.classes),
        "n_judged": len(cleaning.given_labels),
        **{f"n_{state}": cleaning.count(state) for state in OUTCOMES},
        "n_flagged_in_all": int(cleaning.issues.flagged.sum()),
        "error_rate": noise.error_rate,
        "error_rate_interval": list(noise.error_rate_interval),
        "transition_matrix": noise.transition_matrix.tolist(),
        "transition_interval": noise.transition_interval.tolist(),
        "audit": [vars(level) for level in cleaning.levels],
        "missed_of_audited": list(cleaning.missed),
        "accepted_from_score": cleaning.threshold,
        "canaries": vars(cleaning.canaries),
        "truth": cleaning.against_truth(),
    }
    return dict(_plain(report))


def _plain(value: Any) -> Any:
    """Return a value that JSON has: numbers that are not known as null."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
