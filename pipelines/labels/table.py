"""The label table's rules: states of a row, what may follow what, content digest."""

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.digests import digest_rows, hash_rows, sum_hashes
from pipelines.errors import LabelError
from pipelines.schemas import LABELS

#: Weak: from an assumption or rules. The only state that a new weak labelling replaces.
GIVEN = "given"
#: Suspected to be wrong.
FLAGGED = "flagged"
#: Another label is proposed, and stands in the row; the earlier one is in the parent version.
PROPOSED = "proposed"
#: A person or policy took the proposal.
ACCEPTED = "accepted"
#: A person or policy kept the earlier label.
REJECTED = "rejected"
#: Part of a released version.
RELEASED = "released"
#: The image does not show the class; never trained on.
UNDETERMINABLE = "undeterminable"

#: In doubt until somebody decides: neither label is trained on.
PENDING = (FLAGGED, PROPOSED)

#: State -> what may follow it. A decision is never undone silently: it is flagged anew.
FOLLOWERS: Mapping[str, frozenset[str]] = {
    GIVEN: frozenset({GIVEN, FLAGGED, PROPOSED, ACCEPTED, REJECTED, RELEASED, UNDETERMINABLE}),
    FLAGGED: frozenset({FLAGGED, GIVEN, PROPOSED, ACCEPTED, REJECTED, UNDETERMINABLE}),
    PROPOSED: frozenset({PROPOSED, ACCEPTED, REJECTED, UNDETERMINABLE}),
    ACCEPTED: frozenset({ACCEPTED, RELEASED, FLAGGED}),
    REJECTED: frozenset({REJECTED, RELEASED, FLAGGED}),
    RELEASED: frozenset({RELEASED, FLAGGED}),
    UNDETERMINABLE: frozenset({UNDETERMINABLE, RELEASED, FLAGGED}),
}

_CLASS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,62}(?<! )")
_REQUIRED = ("particle_id", "mosaic", "instance", "state", "source", "method")
#: States of rows that may be without a label: rules abstained, or nobody can tell, or could.
_UNLABELLED = (GIVEN, UNDETERMINABLE, RELEASED, FLAGGED)


def check_class_name(name: str, where: str) -> str:
    """Return ``name`` if it can name a class.

    Raises
    ------
    LabelError
        Beginning with ``where``, such as a flag or a file and rule.
    """
    if not _CLASS_NAME.fullmatch(name):
        raise LabelError(
            f"{where}: a class is named by 1 to 63 of A-Z a-z 0-9 space . _ + -, "
            f"beginning with a letter or digit, got {name!r}"
        )
    return name


def check_labels(rows: pa.Table) -> None:
    """Check that rows can be part of the label table.

    Raises
    ------
    LabelError
        Naming the column, the rule and the first value that breaks it.
    """
    if rows.schema.names != LABELS.names:
        raise LabelError(f"label rows must have the columns {', '.join(LABELS.names)}")
    for column in _REQUIRED:
        if rows[column].null_count:
            raise LabelError(f"label rows: {column} must not be null")
    if pc.count_distinct(rows["particle_id"]).as_py() != rows.num_rows:
        counts = pc.value_counts(rows["particle_id"].combine_chunks())
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0].as_py()["values"]
        raise LabelError(f"label rows: particle_id must be unique, got {twice} twice")
    for state in pc.unique(rows["state"]).to_pylist():
        if state not in FOLLOWERS:
            raise LabelError(
                f"label rows: state must be one of {', '.join(FOLLOWERS)}, got {state!r}"
            )
    for label in pc.unique(rows["label"].drop_null()).to_pylist():
        check_class_name(label, "label rows")
    unlabelled = rows.filter(pc.is_null(rows["label"]))
    for state in pc.unique(unlabelled["state"]).to_pylist():
        if state not in _UNLABELLED:
            raise LabelError(f"label rows: a row in state {state} must have a label")
    confidence = rows["confidence"].drop_null()
    outside = pc.invert(pc.and_(pc.greater_equal(confidence, 0), pc.less_equal(confidence, 1)))
    if pc.any(outside).as_py():
        worst = confidence.filter(outside)[0].as_py()
        raise LabelError(f"label rows: confidence must be 0 to 1, got {worst}")


def digest_labels(rows: pa.Table) -> str:
    """Digest the content of the label table; the order of rows does not matter."""
    return f"{sum_hashes(hash_labels(rows)):032x}"


def hash_labels(rows: pa.Table) -> NDArray[np.uint32]:
    """Hash each row of the label table; `digest_labels` is the sum of these."""
    return hash_rows(rows, LABELS.names)


def digest_labels_at_once(rows: pa.Table) -> str:
    """Digest the content as versions did before digests could follow changes."""
    return digest_rows(rows, LABELS.names)
