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
from services.cleaning import Cleaning

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
    names = [*cleaning.classes, None]
    changes = []
    for row, (identity, state) in enumerate(
        zip(cleaning.rows.to_pylist(), cleaning.states.tolist(), strict=True)
    ):
        newest = str(newest_states[row])
        if state == GIVEN or newest not in (GIVEN, *PENDING) or state not in FOLLOWERS[newest]:
            continue
        given = cleaning.given_labels[row]
        likeliest = cleaning.issues.proposed_labels[row]
        probs = cleaning.pred_probs[row]
        by_person = bool(cleaning.is_decided_by_person[row])
        changes.append(
            {
                **identity,
                # The last name, None, is that of `UNKNOWN`.
                "label": names[cleaning.cleaned_labels[row]],
                "state": state,
                "source": SOURCE,
                "method": method,
                "confidence": 1.0 if by_person else float(min(probs[likeliest], 1.0)),
                "decided_by": PERSON if by_person else POLICY if state == ACCEPTED else SOURCE,
                "reason": f"given {names[given]} ({probs[given]:.3f}); likeliest "
                f"{names[likeliest]} ({probs[likeliest]:.3f})",
            }
        )
    return to_table("labels", changes)


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
