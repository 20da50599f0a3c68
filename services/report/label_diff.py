"""The page that compares two label versions: transitions, populations, changed particles."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.archive import Archive
from pipelines.evaluation.figures import population_ratio
from pipelines.evaluation.population import ClassRatio
from pipelines.labels.diff import LabelDiff
from services.label_carrying import published_segmentation
from services.label_versions import LabelVersion
from services.report.blocks import (
    Block,
    Section,
    Table,
    Text,
    Tile,
    percent,
    percent_between,
)
from services.report.build import write_page
from services.report.embedding import FigureFolder
from services.report.images import draw_gallery
from services.report.inputs import ReportInputs
from services.report.particles import read_particles

#: Kinds of change that get a gallery, and crops in one.
GALLERIES_N, GALLERY_N = 6, 16


def write_diff_page(
    archive: Archive, before: LabelVersion, after: LabelVersion, found: LabelDiff
) -> Path:
    """Write ``reports/labels-BEFORE-AFTER.html``."""
    name = f"labels-{before.version}-{after.version}"
    figures = FigureFolder(archive.reports / name)
    tiles = [
        Tile("changed", f"{found.changed.num_rows:,}", f"{found.n_same:,} stayed"),
        Tile("touched otherwise", f"{found.n_touched:,}", "confidence, reason, who decided"),
    ]
    return write_page(
        archive,
        name,
        title=f"Labels: version {before.version} to {after.version}",
        finished=datetime.now(UTC),
        run_id=after.run_id,
        notes=[],
        legend=None,
        tiles=tiles,
        sections=[
            _transitions(found),
            _population(found, figures),
            _galleries(archive, found, figures),
            _versions(before, after),
        ],
    )


def side(label: str | None, state: str | None) -> str:
    """Say what a particle is on one side of a transition.

    Examples
    --------
    >>> side("left", "given"), side(None, "undeterminable"), side(None, None)
    ('left, given', 'undeterminable', 'not there')
    """
    if state is None:
        return "not there"
    return state if label is None else f"{label}, {state}"


def ratio_text(ratio: ClassRatio) -> str:
    """Write a share with its interval and count."""
    between = percent_between(ratio.low, ratio.high)
    return f"{percent(ratio.ratio)} ({between}; {ratio.n_class})"


def _transitions(found: LabelDiff) -> Section:
    rows = [
        [
            side(row["label_before"], row["state_before"]),
            side(row["label_after"], row["state_after"]),
            f"{row['n']:,}",
        ]
        for row in found.transitions.to_pylist()
    ]
    blocks: list[Block] = [Table("Labels that changed", ["before", "after", "particles"], rows, 2)]
    if not rows:
        blocks = [Text("No label and no state differs.")]
    return Section("transitions", "What changed", blocks)


def _population(found: LabelDiff, figures: FigureFolder) -> Section:
    if not found.populations:
        return Section("population", "Population", [Text("Neither version has a label.")])
    names = [one.label for one in found.populations]
    target = found.populations[names.index("right") if "right" in names else 0]
    estimates = {
        when: (ratio.ratio, ratio.low, ratio.high)
        for when, ratio in (("before", target.before), ("after", target.after))
        if ratio.n_total
    }
    figure = population_ratio(estimates, of=f"{target.label} among {' and '.join(names)}")
    alt = "; ".join(f"{when} {percent(share)}" for when, (share, _, _) in estimates.items())
    rows = [[p.label, ratio_text(p.before), ratio_text(p.after)] for p in found.populations]
    return Section(
        "population",
        "Population before and after",
        [
            figures.add("population", figure, f"Share of {target.label}: {alt}"),
            Table("Shares of the classes", ["class", "before", "after"], rows),
            Text(
                "Shares are of all rows with a label, those in doubt included, with 95 % intervals "
                "that take particles as independent and know nothing of wrong labels."
            ),
        ],
    )


def _galleries(archive: Archive, found: LabelDiff, figures: FigureFolder) -> Section:
    """Show particles of the most frequent kinds of change, as far as they are still there."""
    blocks: list[Block] = []
    if not found.changed.num_rows:
        return Section("particles", "Changed particles", [Text("There are none.")])
    particles = read_particles(archive, ReportInputs())
    kinds = list(zip(*(found.changed[name].to_pylist() for name in _KIND), strict=True))
    ids = found.changed["particle_id"].to_numpy()
    there = np.isin(ids, particles.ids) & _is_published(archive, found)
    for place, row in enumerate(found.transitions.to_pylist()[:GALLERIES_N]):
        kind = tuple(row[name] for name in _KIND)
        own = np.flatnonzero(there & np.array([k == kind for k in kinds], dtype=bool))
        if len(own):
            shown = own[:GALLERY_N]
            title = f"{side(*kind[:2])} → {side(*kind[2:])}"
            captions = [[f"{found.changed['instance'][int(i)]}"] for i in shown]
            rows = np.searchsorted(particles.ids, ids[shown])
            blocks.append(
                draw_gallery(archive, particles, rows, captions, title, figures, f"kind-{place}")
            )
    if n_gone := int((~there).sum()):
        blocks.append(
            Text(f"{n_gone:,} particles belong to another segmentation and cannot be shown.")
        )
    return Section("particles", "Changed particles", blocks)


def _is_published(archive: Archive, found: LabelDiff) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    pairs = found.changed.select(["mosaic", "segmentation"]).to_pylist()
    published = {
        name: published_segmentation(archive.mosaic(name)) for name in {p["mosaic"] for p in pairs}
    }
    return np.array(
        [pair["segmentation"] in (None, published[pair["mosaic"]]) for pair in pairs], dtype=bool
    )


def _versions(before: LabelVersion, after: LabelVersion) -> Section:
    facts = ("version", "digest", "parent_version", "method", "author", "run_id", "model_uri", "at")
    values = [[getattr(version, name) for version in (before, after)] for name in facts]
    rows = [
        [name, *("-" if value in (None, "") else str(value) for value in pair)]
        for name, pair in zip(facts, values, strict=True)
    ]
    return Section(
        "versions", "The two versions", [Table("Identity", ["what", "before", "after"], rows, 3)]
    )


_KIND = ("label_before", "state_before", "label_after", "state_after")
