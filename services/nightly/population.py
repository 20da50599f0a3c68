"""The population that a night brought, in a few numbers, and those of the nights before it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.tables import read_rows
from services.nightly.drift import Drift, Spread, describe, describe_share, judge, to_spreads

#: Column of the particles table -> the measure's name. Sizes are in px where no pixel size is
#: known, as a measure of its own: nights in nm and nights in px do not compare.
MEASURES = {
    "equivalent_diameter_nm": "diameter (nm)",
    "equivalent_diameter_px": "diameter (px)",
    "mean_intensity": "grey level",
    "contrast": "contrast",
}
_NM, _PX = "equivalent_diameter_nm", "equivalent_diameter_px"
CONFIDENCE, SHARE_OF = "confidence", "share of "


@dataclass(frozen=True)
class PastNight:
    """A night that brought particles."""

    run_id: str
    mosaics: tuple[str, ...]
    spreads: Mapping[str, Spread]
    flagged: frozenset[str]


@dataclass(frozen=True)
class Population:
    """What a night brought, and how it compares; empty where it brought no particle."""

    spreads: Mapping[str, Spread]
    drifts: tuple[Drift, ...]

    @property
    def flagged(self) -> list[str]:
        """The measures that have drifted."""
        return [drift.measure for drift in self.drifts if drift.is_flagged]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "spreads": {
                measure: {k: v if np.isfinite(v) else None for k, v in asdict(spread).items()}
                for measure, spread in self.spreads.items()
            },
            "drifts": [drift.to_json() for drift in self.drifts],
        }


def past_nights(archive: Archive, *, but: str = "", limit: int | None = None) -> list[PastNight]:
    """Return the nights that brought particles, oldest first.

    Parameters
    ----------
    archive : Archive
        The archive.
    but : str
        A run that is left out.
    limit : int, optional
        Only so many, the newest.
    """
    rows = read_rows(
        archive, "nights", columns=["run_id", "started", "mosaics", "population", "drift"]
    ).sort_by([("started", "ascending"), ("run_id", "ascending")])
    nights = [
        PastNight(
            row["run_id"],
            tuple(row["mosaics"]),
            to_spreads(json.loads(row["population"])),
            frozenset(d["measure"] for d in json.loads(row["drift"]) if d["flagged"]),
        )
        for row in rows.to_pylist()
        if row["run_id"] != but
    ]
    with_particles = [night for night in nights if night.spreads]
    return with_particles[-limit:] if limit else with_particles


def measure_population(
    archive: Archive, mosaics: Sequence[str], history: Sequence[PastNight], model_uri: str
) -> Population:
    """Measure the particles of a night's mosaics and hold them against those of earlier nights.

    Particles cut off by a mosaic's edge are left out. Of sizes and grey levels whole populations
    are compared; of what the model says only medians and shares, each as it was when its night
    came: of particles that it has learnt from since, a model is surer.

    Parameters
    ----------
    archive : Archive
        The archive.
    mosaics : sequence of str
        New tonight.
    history : sequence of PastNight
        Earlier nights.
    model_uri : str
        The model that saw them first; empty where there was none.
    """
    now = _read(archive, mosaics)
    if not now.num_rows:
        return Population({}, ())
    earlier = _read(archive, [name for night in history for name in night.mosaics])
    spreads: dict[str, Spread] = {}
    drifts = []
    unused = _PX if now[_NM].null_count == 0 else _NM
    for column, measure in MEASURES.items():
        if column == unused:
            continue
        values, before = _values(now, column), _values(earlier, column)
        spreads[measure] = describe(values)
        drifts.append(
            judge(measure, _past(history, measure), spreads[measure], pooled=(before, values))
        )
    for measure, spread in _says(archive, now, model_uri).items():
        spreads[measure] = spread
        drifts.append(judge(measure, _past(history, measure), spread))
    return Population(spreads, tuple(drifts))


def _read(archive: Archive, mosaics: Sequence[str]) -> pa.Table:
    rows = read_rows(
        archive,
        "particles",
        columns=["particle_id", "touches_edge", *MEASURES],
        filters=[("mosaic", "in", list(mosaics))],
    )
    return rows.filter(pc.invert(pc.fill_null(rows["touches_edge"], False)))


def _values(rows: pa.Table, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = rows[column].to_numpy().astype(np.float64)
    return values


def _past(history: Sequence[PastNight], measure: str) -> list[Spread]:
    return [night.spreads[measure] for night in history if measure in night.spreads]


def _says(archive: Archive, particles: pa.Table, model_uri: str) -> dict[str, Spread]:
    """Return how sure the model was of the particles, and the share of every class."""
    if not model_uri:
        return {}
    rows = read_rows(
        archive,
        "predictions",
        columns=["particle_id", "label", "confidence", "classes"],
        filters=[("model_uri", "=", model_uri)],
    )
    ids = particles["particle_id"].combine_chunks()
    rows = rows.filter(pc.is_in(rows["particle_id"], value_set=ids))
    if not rows.num_rows:
        return {}
    classes: list[str] = rows["classes"][0].as_py()
    said = rows["label"].to_pylist()
    # Of two classes, the share of one tells that of the other.
    shown = classes[:1] if len(classes) == 2 else classes
    return {
        CONFIDENCE: describe(_values(rows, "confidence")),
        **{SHARE_OF + name: describe_share(said.count(name), len(said)) for name in shown},
    }
