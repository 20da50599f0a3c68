import json

import pyarrow.parquet as pq
import pytest
import zarr
from faster_coco_eval import COCO
from ome_zarr_models.v05.image_label import ImageLabel

from pipelines.mosaic.ome_zarr import open_instances
from pipelines.records import Window
from services.label_store import current_version
from services.verbs.versions.export import Settings as ExportSettings
from services.verbs.versions.export import execute as export


def test_parquet_holds_all_rows_and_names_the_version(tessera, labelled, tmp_path):
    _, said, _ = tessera("export", "--format", "parquet", "--out", tmp_path / "l.parquet")

    table = pq.read_table(tmp_path / "l.parquet")
    assert said["labels"] == table.num_rows == 60
    assert table.schema.metadata[b"tessera.digest"].decode() == current_version(labelled).digest


def test_coco_has_the_boxes_and_masks_of_all_particles_with_a_label(tessera, labelled, tmp_path):
    _, said, _ = tessera("export", "--format", "coco", "--out", tmp_path / "coco.json")

    coco = COCO(str(tmp_path / "coco.json"))
    assert (said["labels"], said["left_out"]) == (59, 1)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["left", "right"]
    instances = open_instances(labelled.mosaic("synthesis"))
    pixels = instances.read(Window(0, 0, *instances.level(0).shape))
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = pixels == annotation["attributes"]["instance"]
        assert (coco.annToMask(annotation).astype(bool) == mask).all()
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum() == annotation["area"]
    left = coco.loadAnns(coco.getAnnIds(catIds=[1]))
    assert [(a["attributes"]["instance"], a["attributes"]["state"]) for a in left] == [
        (58, "accepted")
    ]


@pytest.mark.parametrize("images", [False, True])
def test_ome_zarr_labels_carry_a_colour_and_properties_for_every_instance(
    tessera, labelled, tmp_path, images
):
    flag = ["--images"] if images else []

    tessera("export", "--format", "ome-zarr", "--out", tmp_path / "zarr", *flag)

    path = tmp_path / "zarr" / "synthesis.ome.zarr" / "labels" / "labels"
    label = ImageLabel.from_zarr(zarr.open_group(path, mode="r")).ome_attributes.image_label
    assert len(label.colors) == len(label.properties) == 60
    colours = {colour.label_value: colour.rgba for colour in label.colors}
    assert colours[1] == colours[2] != colours[58] != colours[59]
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    assert attributes["properties"][57]["label"] == "left"
    assert ("source" in attributes) == images
    before = open_instances(labelled.mosaic("synthesis")).level(0)[...]
    assert (zarr.open_array(path / "0", mode="r")[...] == before).all()
    assert (tmp_path / "zarr" / "synthesis.ome.zarr" / "0").exists() == images


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"out": "inside"}, "--out must lie outside the archive"),
        ({"out": "there"}, "exists; --force replaces it"),
        ({"out": "new", "images": True}, "--images goes with --format ome-zarr alone, got csv"),
        ({"out": "new", "version": 9}, "label version 9 does not exist"),
    ],
)
def test_exports_that_cannot_be_are_refused_and_leave_nothing(labelled, tmp_path, given, message):
    places = {
        "inside": labelled.root / "x.csv", "there": tmp_path / "t.csv", "new": tmp_path / "n.csv",
    }  # fmt: skip
    places["there"].write_text("mine")

    with pytest.raises(ValueError, match=message):
        export(
            ExportSettings(
                archive=labelled.root, format="csv", **{**given, "out": places[given["out"]]}
            )
        )

    assert places["there"].read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "t.csv"]
