"""How methods stand, in numbers for scripts and in a table for people."""

import re
from collections.abc import Sequence
from typing import Any

from services.segmenting.choice import group_name
from services.segmenting.columns import lay_out
from services.segmenting.contest import Group, Standing


def metrics_of(standing: Standing) -> dict[str, float]:
    """Return what is measured of a method."""
    scores = standing.scores
    return {
        "f1_50": scores.f1_50,
        "f1_75": scores.f1_75,
        "pq": scores.pq,
        "splits": float(scores.n_split),
        "merges": float(scores.n_merged),
        "mpx_per_s": standing.mpx_per_s,
    }


def metric_prefix(standing: Standing, group: Group, groups: Sequence[Group]) -> str:
    """Name a method within a run, in the letters that MLflow takes."""
    name = standing.entrant.method.said
    if len(groups) > 1:
        name += f" at {group_name(group.pixel_sizes_nm)}"
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", name)


def group_values(group: Group) -> dict[str, Any]:
    """Return all of a group's standings, JSON-like."""
    return {
        "pixel_sizes_nm": group.pixel_sizes_nm,
        "images": len(group.images),
        "methods": [
            {"method": standing.entrant.method.said, **metrics_of(standing)}
            for standing in group.standings
        ],
    }


def group_table(group: Group) -> list[str]:
    """Lay a group's standings out for people."""
    head = ("method", "F1@0.5", "F1@0.75", "PQ", "splits", "merges", "Mpx/s")
    rows = [
        (
            standing.entrant.method.said,
            f"{standing.scores.f1_50:.3f}",
            f"{standing.scores.f1_75:.3f}",
            f"{standing.scores.pq:.3f}",
            str(standing.scores.n_split),
            str(standing.scores.n_merged),
            f"{standing.mpx_per_s:.3g}",
        )
        for standing in group.standings
    ]
    n_images = len(group.images)
    title = f"{n_images} images at {group_name(group.pixel_sizes_nm)}:"
    return [title, *lay_out(head, rows)]
