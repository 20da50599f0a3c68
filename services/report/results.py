"""The report's particles: how large they are, what they look like, which are in doubt."""

import numpy as np

from pipelines.archive import Archive
from pipelines.evaluation.drawing import NO_LABEL
from pipelines.evaluation.figures import size_distribution
from pipelines.randomness import generator
from services.report.blocks import Block, Section, Table, Text, count, number
from services.report.embedding import FigureFolder
from services.report.images import draw_gallery
from services.report.particles import Particles, is_known

#: Particles in a gallery, and classes that get one.
GALLERY_N, GALLERY_CLASSES = 16, 6


def sizes(particles: Particles, figures: FigureFolder) -> Section:
    """Draw how large particles are; in pixels where no mosaic knows its pixel size."""
    whole = ~particles.touches_edge
    known = whole & np.isfinite(particles.diameter_nm)
    chosen, unit = (known, "nm") if known.any() else (whole, "px")
    if not chosen.any():
        return Section("sizes", "Sizes", [Text("There is no whole particle to measure.")])
    values = particles.diameter_nm if unit == "nm" else particles.diameter_px
    labels = particles.best_label
    names = particles.names(labels[chosen])
    parts = {name: values[chosen & (labels == name)] for name in names}
    if (without := chosen & ~is_known(labels)).any():
        parts[NO_LABEL if names else "all particles"] = values[without]
    figure = size_distribution(parts, unit="nm" if unit == "nm" else "px")
    rows = []
    for name, of_class in [("all", values[chosen]), *(parts.items() if len(parts) > 1 else ())]:
        ends = np.percentile(of_class, [5, 25, 50, 75, 95])
        rows.append([name, str(of_class.size), *(number(float(end)) for end in ends)])
    left_out = [f"{count(int((~whole).sum()), 'particle')} cut off by a mosaic's edge"]
    if unit == "nm" and (unknown := int((whole & ~known).sum())):
        left_out.append(f"{count(unknown, 'particle')} of mosaics whose pixel size is not known")
    head = ["class", "particles", "5 %", "25 %", "median", "75 %", "95 %"]
    alt = f"Histogram of equivalent diameters in {unit}"
    return Section(
        "sizes",
        "Sizes",
        [
            figures.add("sizes", figure, alt),
            Table(f"Equivalent diameter ({unit}), percentiles", head, rows),
            Text(f"Left out: {' and '.join(left_out)}."),
        ],
    )


def galleries(
    archive: Archive, particles: Particles, figures: FigureFolder, *, seed: int
) -> Section:
    """Show some particles of every class, drawn by lot."""
    labels = particles.best_label
    whole = ~particles.touches_edge
    names = particles.names(labels[whole])[:GALLERY_CLASSES]
    by = "predicted" if particles.classes else "labelled"
    groups = {f"{by} {name}": whole & (labels == name) for name in names}
    if not names and whole.any():
        groups = {"particles": whole}
    blocks: list[Block] = []
    for number_, (title, chosen) in enumerate(groups.items()):
        rng = generator(seed, "report", "gallery", title)
        rows = np.sort(rng.permutation(np.flatnonzero(chosen))[:GALLERY_N])
        captions = [_confidence(particles, int(row)) for row in rows]
        file = f"gallery-{number_}"
        blocks.append(draw_gallery(archive, particles, rows, captions, title, figures, file))
    if not blocks:
        blocks = [Text("There is no whole particle to show.")]
    return Section("gallery", "Particles", blocks)


def uncertain(archive: Archive, particles: Particles, figures: FigureFolder) -> Section | None:
    """Show the particles that the model is least sure of."""
    confidence = np.where(particles.touches_edge, np.nan, particles.confidence)
    rows = np.argsort(confidence, kind="stable")[:GALLERY_N]
    rows = rows[np.isfinite(confidence[rows])]
    if not len(rows):
        return None
    captions = []
    for row in rows:
        known = [("label", particles.given[row]), ("truth", particles.true[row])]
        words = [f"{name} {label}" for name, label in known if label is not None]
        captions.append([*_confidence(particles, int(row)), *words])
    title = "least sure first"
    shown = draw_gallery(archive, particles, rows, captions, title, figures, "uncertain")
    return Section("uncertain", "Most uncertain particles", [shown])


def _confidence(particles: Particles, row: int) -> list[str]:
    confidence = particles.confidence[row]
    return [f"{particles.predicted[row]} {confidence:.2f}"] if np.isfinite(confidence) else []
