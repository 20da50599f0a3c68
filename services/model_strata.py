"""Where a model is worse than elsewhere: by mosaic, size, contrast, and at the edge."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.classification import mean_interval
from pipelines.randomness import generator
from pipelines.tables import read_rows

#: A share among fewer particles says nothing.
MIN_PARTICLES = 20
#: The worst so many are told.
N_WORST = 5
_MEASURED = ("major_axis_px", "contrast")
_FLAGS = ("touches_edge", "low_contrast", "crosses_seam")


def worst_strata(
    archive: Archive,
    mosaics: Sequence[str],
    particle_ids: NDArray[np.int64],
    is_right: NDArray[np.bool_],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Find the groups of particles where a model is clearly worse than on the rest.

    Parameters
    ----------
    archive : Archive
        Whose particles they are.
    mosaics : sequence of str
        Where they lie.
    particle_ids : (N,) ndarray of int
        Particles that the model was tested on.
    is_right : (N,) ndarray of bool
        Whether it was right.
    seed : int
        For the bootstrap.

    Returns
    -------
    strata : list of dict
        Worst first: ``stratum``, ``n``, ``accuracy``, ``low``, ``high`` (95 % interval) and
        ``elsewhere``, the accuracy on all others, which lies above the interval. Groups of fewer
        than `MIN_PARTICLES` are left out, so an empty list is no proof that there are none.
    """
    rows = _measurements(archive, mosaics, particle_ids)
    found: list[dict[str, Any]] = []
    for name, inside in _strata(rows):
        n = int(inside.sum())
        if n < MIN_PARTICLES or n == len(inside):
            continue
        low, high = mean_interval(
            is_right[inside], particle_ids[inside], rng=generator(seed, f"stratum {name}")
        )
        elsewhere = float(is_right[~inside].mean())
        if high < elsewhere:
            accuracy = float(is_right[inside].mean())
            found.append(
                {
                    "stratum": name,
                    "n": n,
                    "accuracy": accuracy,
                    "low": low,
                    "high": high,
                    "elsewhere": elsewhere,
                }
            )
    return sorted(found, key=lambda stratum: stratum["accuracy"])[:N_WORST]


def _measurements(
    archive: Archive, mosaics: Sequence[str], particle_ids: NDArray[np.int64]
) -> pa.Table:
    """Return what was measured of the particles, in their order."""
    columns = ["particle_id", "mosaic", *_MEASURED, *_FLAGS]
    rows = read_rows(
        archive, "particles", columns=columns, filters=[("mosaic", "in", list(mosaics))]
    )
    return rows.take(pc.index_in(pa.array(particle_ids), rows["particle_id"].combine_chunks()))


def _strata(rows: pa.Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name every group, and say who belongs to it."""
    mosaics = rows["mosaic"].to_numpy(zero_copy_only=False)
    for name in sorted(set(mosaics)):
        yield f"mosaic {name}", mosaics == name
    for column in _MEASURED:
        values = rows[column].to_numpy(zero_copy_only=False).astype(float)
        known = values[~np.isnan(values)]
        if not known.size:
            continue
        low, high = np.quantile(known, [0.25, 0.75])
        if low < high:
            yield f"{column} up to {low:.3g} (the lowest quarter)", values <= low
            yield f"{column} from {high:.3g} (the highest quarter)", values >= high
    for column in _FLAGS:
        yield column.replace("_", " "), np.array(pc.fill_null(rows[column], False).to_pylist())
