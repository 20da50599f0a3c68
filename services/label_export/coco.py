"""Labels as COCO JSON: boxes, and masks as compressed runs, written particle by particle."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.mosaic.ome_zarr import InstanceImage
from pipelines.records import Window
from services.label_export.source import ExportSource, LabelledMosaic
from services.progress import track

#: Edge of the squares of pixels that are read at once: 16 MB.
BLOCK_PX = 2048


def export_coco(source: ExportSource, out: Path) -> dict[str, int]:
    """Write the labelled particles as COCO annotations.

    Particles without a label, undeterminable ones among them, have no category and are left out.
    An image stands for each mosaic; ``file_name`` is its OME-Zarr folder.

    References
    ----------
    https://cocodataset.org/#format-data; masks are compressed run lengths, column by column.
    """
    version, archive = source.version, source.archive
    categories = {name: number for number, name in enumerate(source.classes(), start=1)}
    names = source.mosaics()
    images: list[dict[str, Any]] = []
    counts = {"labels": 0, "left_out": 0}
    with out.open("w", encoding="utf-8") as file:
        about = {
            "description": f"labels of {archive.root.name}",
            "version": str(version.version),
            "digest": version.digest,
            "date_created": version.at.isoformat(timespec="seconds"),
            "contributor": version.author,
        }
        classes = [
            {"id": number, "name": name, "supercategory": "particle"}
            for name, number in categories.items()
        ]
        file.write(f'{{"info": {json.dumps(about)},\n"licenses": [],\n')
        file.write(f'"categories": {json.dumps(classes)},\n"annotations": [')
        for mosaic in track(source.labelled(), "export", len(names), unit="mosaics"):
            height, width = mosaic.shape
            image = {"id": len(images) + 1, "file_name": f"{mosaic.name}.ome.zarr"}
            images.append({**image, "width": width, "height": height})
            labelled = mosaic.rows.num_rows - mosaic.rows["label"].null_count
            counts["left_out"] += mosaic.rows.num_rows - labelled + mosaic.n_left_out
            _write_annotations(file, mosaic, len(images), categories, counts)
        file.write(f'\n],\n"images": {json.dumps(images)}}}\n')
    return counts


def _write_annotations(
    file: TextIO,
    mosaic: LabelledMosaic,
    image_id: int,
    categories: dict[str, int],
    counts: dict[str, int],
) -> None:
    rows = mosaic.rows.filter(pc.is_valid(mosaic.rows["label"]))
    row_of = {row["instance"]: row for row in rows.to_pylist()}
    shape = mosaic.shape
    boxes = find_boxes(mosaic.instances, np.array(sorted(row_of), dtype=np.int64))
    counts["left_out"] += len(row_of) - len(boxes)
    for instance, (box, mask) in _masks(mosaic.instances, boxes):
        row = row_of[instance]
        counts["labels"] += 1
        runs = compress(run_lengths(mask, box, shape))
        annotation = {
            "id": counts["labels"],
            "image_id": image_id,
            "category_id": categories[row["label"]],
            "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
            "area": int(mask.sum()),
            "iscrowd": 0,
            "segmentation": {"size": list(shape), "counts": runs},
            "attributes": {
                # As text: JSON's numbers are exact up to 2**53 in many readers.
                "particle_id": str(row["particle_id"]),
                **{name: row[name] for name in ("instance", "state", "confidence", "source")},
            },
        }
        file.write(f"{',' if counts['labels'] > 1 else ''}\n{json.dumps(annotation)}")


def find_boxes(image: InstanceImage, instances: NDArray[np.int64]) -> dict[int, Window]:
    """Find the bounding boxes of some instances, block by block."""
    height, width = image.level(0).shape
    boxes: dict[int, Window] = {}
    for y0 in range(0, height, BLOCK_PX):
        for x0 in range(0, width, BLOCK_PX):
            block = image.read(
                Window(y0, x0, min(y0 + BLOCK_PX, height), min(x0 + BLOCK_PX, width))
            )
            present = np.intersect1d(np.unique(block), instances)
            if not len(present):
                continue
            # Numbered from 1 within the block: boxes are listed up to the largest number.
            place = np.searchsorted(present, block).clip(max=len(present) - 1)
            local = np.where(present[place] == block, place + 1, 0)
            for instance, (rows, columns) in zip(
                present.tolist(), ndimage.find_objects(local), strict=True
            ):
                found = Window(
                    y0 + rows.start, x0 + columns.start, y0 + rows.stop, x0 + columns.stop
                )
                boxes[instance] = _join(boxes.get(instance, found), found)
    return boxes


def run_lengths(mask: NDArray[np.bool_], box: Window, shape: tuple[int, int]) -> list[int]:
    """Return the lengths of background and mask by turns, down each column of the whole image.

    Parameters
    ----------
    mask : (h, w) ndarray of bool
        The mask inside its box.
    box : Window
        Where it lies.
    shape : (int, int)
        Of the whole image.
    """
    height, width = shape
    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    padded[:, 1:-1] = mask.T
    columns, edges = np.nonzero(np.diff(padded, axis=1))
    ends = (box.x0 + columns.astype(np.int64)) * height + box.y0 + edges
    lengths: list[int] = np.diff(np.concatenate([[0], ends, [height * width]])).tolist()
    # A run that goes on at the top of the next column is one with it.
    joined = lengths[:1]
    for place, length in enumerate(lengths[1:], start=1):
        if length and (place % 2) == (len(joined) % 2):
            joined.append(length)
        elif length:
            joined[-1] += length
    return joined


def compress(lengths: list[int]) -> str:
    """Write run lengths as COCO does: differences in pieces of five bits, as printable text."""
    text = []
    for place, length in enumerate(lengths):
        value = length - (lengths[place - 2] if place > 2 else 0)
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | 0x20 if more else bits) + 48))
            if not more:
                break
    return "".join(text)


def _masks(
    image: InstanceImage, boxes: dict[int, Window]
) -> Iterator[tuple[int, tuple[Window, NDArray[np.bool_]]]]:
    """Yield the mask of every instance, reading neighbours together."""
    blocks: dict[tuple[int, int], list[int]] = {}
    for instance, box in boxes.items():
        blocks.setdefault((box.y0 // BLOCK_PX, box.x0 // BLOCK_PX), []).append(instance)
    for _, members in sorted(blocks.items()):
        window = boxes[members[0]]
        for instance in members:
            window = _join(window, boxes[instance])
        pixels = image.read(window)
        for instance in members:
            box = boxes[instance]
            inside = pixels[
                box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0
            ]
            yield instance, (box, inside == instance)


def _join(one: Window, other: Window) -> Window:
    return Window(
        min(one.y0, other.y0),
        min(one.x0, other.x0),
        max(one.y1, other.y1),
        max(one.x1, other.x1),
    )
