"""From runs to the ids of a core, and the places where segmentations are kept."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.ngff import GROUP_FILE, NGFF_VERSION, read_attributes, write_group
from pipelines.places import move, remove_tree
from pipelines.segmentation.parts import TileParts

#: Name under ``labels/`` of the segmentation that counts.
INSTANCES = "instances"


def paint(parts: TileParts, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Paint a core.

    Parameters
    ----------
    parts : TileParts
        The core's runs.
    ids : (s,) array of uint32
        Id of each segment; 0 for those that did not stay.

    Returns
    -------
    instances : (h, w) array of uint32
    """
    height, width = parts.core.shape
    starts = parts.run_starts.astype(np.int64)
    ends = starts + parts.run_lengths
    # Background and runs by turns, from the first pixel to the last.
    lengths = np.empty(2 * len(starts) + 1, dtype=np.int64)
    lengths[1::2] = parts.run_lengths
    lengths[0::2] = np.append(starts, height * width) - np.insert(ends, 0, 0)
    values = np.zeros(len(lengths), dtype=np.uint32)
    values[1::2] = ids[parts.run_segments]
    return np.repeat(values, lengths).reshape(height, width)


def set_aside(mosaic_path: Path, segmentation: str) -> str | None:
    """Give a published segmentation other than ``segmentation`` a name of its own.

    Parameters
    ----------
    mosaic_path : Path
        The mosaic.
    segmentation : str
        Digest of the segmentation that will be written.

    Returns
    -------
    name : str or None
        Where under ``labels/`` the earlier segmentation lies now; None if there was no other.
    """
    labels = mosaic_path / "labels"
    current = labels / INSTANCES
    ours: dict[str, Any] | None = (read_attributes(current) or {}).get("tessera")
    if ours is None or ours.get("segmentation") == segmentation:
        return None
    name = f"{INSTANCES}-{str(ours.get('segmentation', 'unknown'))[:8]}"
    # In a bucket, a move that was killed may have left a part of it, without this file.
    if (labels / name / GROUP_FILE).is_file():
        # The same settings gave the same pixels once before.
        remove_tree(current)
    else:
        move(current, labels / name)
    published = sorted(path.parent.name for path in labels.glob(f"*/{GROUP_FILE}"))
    write_group(labels, {"ome": {"version": NGFF_VERSION, "labels": published}})
    return name
