"""Compare the instances that were found in a mosaic with its known truth."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive, particle_id
from pipelines.errors import MosaicError
from pipelines.evaluation.instances import (
    Contingency,
    ContingencyCounter,
    InstanceScore,
    Matches,
    match_instances,
    score_instances,
)
from pipelines.mosaic.ome_zarr import has_instances, open_instances
from pipelines.records import Window
from pipelines.tables import read_rows

#: Edge of the squares that are compared at a time: two images and their keys, about 100 MB.
BLOCK_PX = 2048

#: Particles that match a true instance of known class.
KNOWN_LABELS = pa.schema(
    [
        ("particle_id", pa.int64()),
        ("instance", pa.int64()),
        ("truth_instance", pa.int64()),
        ("label", pa.string()),
        ("determinable", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class MosaicScore:
    """How well a mosaic's instances agree with its truth.

    ``matches`` pairs ``truth_ids`` with the instances (``found_ids``) whose IoU is above 0.5.
    """

    at_50: InstanceScore
    at_75: InstanceScore
    matches: Matches


def score_mosaic(mosaic_path: Path, found: str = "instances", truth: str = "truth") -> MosaicScore:
    """Score found instances of a mosaic against true ones, in bounded memory.

    Parameters
    ----------
    mosaic_path : Path
        The mosaic.
    found, truth : str
        Names of instance images inside it.

    Raises
    ------
    MosaicError
        If one of them is missing, or they differ in shape.
    """
    counted = count_mosaic(mosaic_path, found, truth)
    return MosaicScore(
        at_50=score_instances(counted, iou_threshold=0.5),
        at_75=score_instances(counted, iou_threshold=0.75),
        matches=match_instances(counted, iou_threshold=0.5),
    )


def count_mosaic(
    mosaic_path: Path, found: str = "instances", truth: str = "truth", *, block_px: int = BLOCK_PX
) -> Contingency:
    """Count the pixels that found and true instances of a mosaic share, block by block."""
    images = [open_instances(mosaic_path, name) for name in (truth, found)]
    true_shape, found_shape = (image.level(0).shape for image in images)
    if true_shape != found_shape:
        raise MosaicError(
            f"mosaic {mosaic_path}: labels/{truth} has shape {true_shape}, "
            f"labels/{found} has {found_shape}"
        )
    height, width = true_shape
    counter = ContingencyCounter()
    for y0 in range(0, height, block_px):
        for x0 in range(0, width, block_px):
            window = Window(y0, x0, min(y0 + block_px, height), min(x0 + block_px, width))
            counter.add(*(image.read(window) for image in images))
    return counter.contingency()


def has_truth(mosaic_path: Path) -> bool:
    """Tell whether a mosaic has both instances and a true instance image to compare with."""
    return has_instances(mosaic_path, "truth") and has_instances(mosaic_path, "instances")


def true_labels(archive: Archive, mosaic: str, matches: Matches) -> pa.Table:
    """Give matched particles of a mosaic the label of the true instance behind them.

    Parameters
    ----------
    archive : Archive
        The archive.
    mosaic : str
        The mosaic's name.
    matches : Matches
        From `score_mosaic`.

    Returns
    -------
    known : pyarrow.Table
        With the columns `KNOWN_LABELS`; particles without a match, or whose truth has no label,
        are left out.
    """
    truth = read_rows(
        archive,
        "truth",
        columns=["truth_instance", "label", "determinable"],
        filters=[("mosaic", "=", mosaic)],
    )
    instances = matches.found_ids.tolist()
    pairs = pa.table(
        {
            "particle_id": pa.array([particle_id(mosaic, i) for i in instances], pa.int64()),
            "instance": pa.array(instances, pa.int64()),
            "truth_instance": pa.array(matches.truth_ids.tolist(), pa.int64()),
        }
    )
    known = pairs.join(
        truth.filter(pc.is_valid(truth["label"])), "truth_instance", join_type="inner"
    )
    return known.select(KNOWN_LABELS.names).sort_by("instance").cast(KNOWN_LABELS)


def known_labels(archive: Archive, mosaics: Iterable[str]) -> pa.Table:
    """Return the true labels of the particles of all mosaics that have truth; see `true_labels`.

    Reads the instance images of those mosaics; nothing of the others.
    """
    paths = {name: archive.mosaic(name) for name in mosaics}
    known = [
        true_labels(archive, name, score_mosaic(path).matches)
        for name, path in paths.items()
        if has_truth(path)
    ]
    return pa.concat_tables([KNOWN_LABELS.empty_table(), *known])
