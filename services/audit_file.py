"""What people said of particles: a CSV file of reviewed labels."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError
from pipelines.labels.table import UNDETERMINABLE
from pipelines.training.samples import UNKNOWN

Indices = NDArray[np.int64]


def read_audit(
    path: Path, particle_ids: Indices, classes: Sequence[str], *, flag: str = "--audit"
) -> Indices:
    """Read what people said of particles, from a CSV file with ``particle_id,label``.

    Parameters
    ----------
    path : Path
        The file. Labels are classes, or ``undeterminable``.
    particle_ids : (N,) ndarray of int
        The particles in question.
    classes : sequence of str
        Names of the classes.
    flag : str
        What the file was given by, for messages.

    Returns
    -------
    reviewed : (N,) ndarray of int
        Class indices; their number for undeterminable; `UNKNOWN` where nothing was said.

    Raises
    ------
    SettingsError
        Naming the file, the line and what is wrong.
    """
    index = {name: number for number, name in enumerate([*classes, UNDETERMINABLE])}
    row_of = {int(value): row for row, value in enumerate(particle_ids)}
    reviewed = np.full(len(particle_ids), UNKNOWN)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise SettingsError(f"{flag}: {path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{flag}: {path} cannot be read: {error}") from None
    if not lines or not {"particle_id", "label"} <= lines[0].keys():
        raise SettingsError(f"{flag}: {path} must have the columns particle_id,label and a row")
    seen: set[int] = set()
    for number, line in enumerate(lines, start=2):
        text, label = (line["particle_id"] or "").strip(), (line["label"] or "").strip()
        where = f"{flag}: {path} line {number}"
        if not text.lstrip("-").isdecimal():
            raise SettingsError(f"{where}: particle_id must be a whole number, got {text!r}")
        if label not in index:
            raise SettingsError(f"{where}: label must be one of {', '.join(index)}, got {label!r}")
        if (particle := int(text)) in seen:
            raise SettingsError(f"{where}: particle {particle} was reviewed above already")
        seen.add(particle)
        if particle in row_of:
            reviewed[row_of[particle]] = index[label]
    if (reviewed == UNKNOWN).all():
        raise SettingsError(f"{flag}: none of the {len(seen)} particles of {path} has a label")
    return reviewed
