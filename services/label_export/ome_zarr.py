"""Labels as OME-Zarr image labels: instances, with a colour and properties for each."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.evaluation.drawing import NEUTRAL, class_colours, rgb
from pipelines.mosaic.ngff import GROUP_FILE, NGFF_VERSION, read_attributes, write_group
from pipelines.places import copy_tree
from services.label_export.source import ExportSource, LabelledMosaic
from services.progress import track

#: Properties that viewers show of an instance.
_PROPERTIES = ("particle_id", "label", "state", "confidence", "source", "decided_by")
_NAME = "labels"
_COLOURS, _PROPERTIES_MARK = "@colours@", "@properties@"


def export_ome_zarr(source: ExportSource, out: Path, *, images: bool) -> dict[str, int]:
    """Write ``NAME.ome.zarr`` for every mosaic: its instances, coloured by class.

    Parameters
    ----------
    source : ExportSource
        What to export.
    out : Path
        The folder to make.
    images : bool
        Whether the mosaics' pixels are copied too, which makes them open as one in viewers.
    """
    out.mkdir(parents=True)
    colours = class_colours(source.classes())
    counts = {"labels": 0, "left_out": 0}
    names = source.mosaics()
    for mosaic in track(source.labelled(), "export", len(names), unit="mosaics"):
        target = out / f"{mosaic.name}.ome.zarr"
        if images:
            copy_tree(source.archive.mosaic(mosaic.name), target, ignore=_all_but_the_image)
        else:
            write_group(target, {})
        label = target / "labels" / _NAME
        copy_tree(mosaic.instances.path, label, ignore=shutil.ignore_patterns(GROUP_FILE + ".*"))
        write_group(target / "labels", {"ome": {"version": NGFF_VERSION, "labels": [_NAME]}})
        _write_metadata(label, mosaic, colours, source, with_image=images)
        counts["labels"] += mosaic.rows.num_rows
        counts["left_out"] += mosaic.n_left_out
    return counts


def _write_metadata(
    label: Path,
    mosaic: LabelledMosaic,
    colours: dict[str, str],
    source: ExportSource,
    *,
    with_image: bool,
) -> None:
    """Write the label's metadata, its instances one by one: there may be a million."""
    attributes = read_attributes(label) or {}
    ome = {**attributes["ome"], "image-label": {"colors": _COLOURS, "properties": _PROPERTIES_MARK}}
    if with_image:
        ome["image-label"]["source"] = {"image": "../../"}
    ours = {
        "label_version": source.version.version,
        "digest": source.version.digest,
        "segmentation": mosaic.instances.attributes.get("segmentation"),
    }
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome, "tessera": ours},
    }
    head, rest = json.dumps(group).split(f'"{_COLOURS}"')
    middle, tail = rest.split(f'"{_PROPERTIES_MARK}"')
    batches = mosaic.rows.select(["instance", *_PROPERTIES]).to_batches(max_chunksize=10_000)
    with (label / GROUP_FILE).open("w", encoding="utf-8") as file:
        file.write(head)
        file.writelines(_list(_colour(row, colours) for b in batches for row in b.to_pylist()))
        file.write(middle)
        file.writelines(_list(_properties(row) for b in batches for row in b.to_pylist()))
        file.write(tail)


def _list(items: Iterable[dict[str, Any]]) -> Iterable[str]:
    separator = "["
    for item in items:
        yield f"{separator}{json.dumps(item)}"
        separator = ",\n"
    yield "]" if separator != "[" else "[]"


def _colour(row: dict[str, Any], colours: dict[str, str]) -> dict[str, Any]:
    colour = rgb(colours.get(row["label"], NEUTRAL))
    return {"label-value": row["instance"], "rgba": [*(int(part) for part in colour), 255]}


def _properties(row: dict[str, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in _PROPERTIES}
    # As text: JSON's numbers are exact up to 2**53 in many readers.
    values["particle_id"] = str(values["particle_id"])
    return {"label-value": row["instance"], **values}


def _all_but_the_image(folder: str, names: list[str]) -> set[str]:
    return {"labels"} & set(names)
