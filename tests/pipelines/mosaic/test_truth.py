import cv2
import numpy as np
import pyarrow.parquet
import pytest
import tifffile
from PIL import Image

from pipelines.errors import MosaicError
from pipelines.mosaic.conversion import convert
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.ome_zarr import (
    create_instances,
    has_instances,
    open_instances,
    write_mosaic,
)
from pipelines.mosaic.truth import InstanceSums
from pipelines.records import Window
from pipelines.schemas import TRUTH
from pipelines.tables import to_table

IDS = np.array(
    [
        [0, 0, 5, 5],
        [0, 0, 5, 5],
        [9, 0, 0, 0],
    ],
    dtype=np.uint16,
)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "i.png"
    cv2.imwrite(str(path), np.ones((3, 4), "uint8"))
    return path


def converted(source, tmp_path, *, kind="png", truth=None):
    (tmp_path / "out").mkdir()
    job = Conversion(
        source=str(source),
        kind=kind,
        name="m",
        folder=str(tmp_path / "out"),
        key="k",
        pixel_size_nm=1.0,
        truth=str(truth) if truth else None,
    )
    convert(job)
    return job


def rows(job):
    return pyarrow.parquet.read_table(job.truth_table).to_pylist()


def write_map(path, ids):
    if path.suffix == ".png":
        cv2.imwrite(str(path), ids)
    else:
        tifffile.imwrite(path, ids, photometric="minisblack")
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32"])
def test_an_instance_map_becomes_truth_without_classes(tmp_path, image, dtype):
    job = converted(image, tmp_path, truth=write_map(tmp_path / "t.tif", IDS.astype(dtype)))

    truth = open_instances(job.mosaic_path, "truth")
    assert (truth.read(Window(0, 0, 3, 4)) == IDS).all()
    assert [
        (r["truth_instance"], r["area_px"], r["centroid_y_px"], r["centroid_x_px"])
        for r in rows(job)
    ] == [(5, 4, 0.5, 2.5), (9, 1, 2.0, 0.0)]
    assert {(r["mosaic"], r["label"], r["determinable"]) for r in rows(job)} == {("m", None, False)}


def test_a_map_is_turned_like_its_image(tmp_path, glyph, stored):
    source, truth = tmp_path / "i.tif", tmp_path / "t.tif"
    tag = [(274, 3, 1, 6, True)]
    for path in (source, truth):
        tifffile.imwrite(path, stored(glyph, 6), extratags=tag, photometric="minisblack")

    job = converted(source, tmp_path, kind="tiff", truth=truth)

    found = open_instances(job.mosaic_path, "truth").read(Window(0, 0, *glyph.shape))
    assert (found == glyph).all()


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        (IDS[:2], r"truth map t\.tif is \(2, 4\) pixels, the image \(3, 4\)"),
        (IDS.astype("float32"), "must hold integer ids, got float32"),
        (-IDS.astype("int16"), "ids from 0 to"),
        (np.uint8([[255, 0, 255, 0]] * 3), "is a mask .one value in 2 pieces"),
    ],
)
def test_a_map_that_cannot_be_truth_is_refused(tmp_path, image, ids, rule):
    with pytest.raises(MosaicError, match=rule):
        converted(image, tmp_path, truth=write_map(tmp_path / "t.tif", ids))


def test_a_single_instance_in_one_piece_is_no_mask(tmp_path, image):
    job = converted(image, tmp_path, truth=write_map(tmp_path / "t.png", np.ones((3, 4), "uint8")))

    assert [r["area_px"] for r in rows(job)] == [12]


def test_a_painted_map_is_refused(tmp_path, image):
    painted = tmp_path / "t.png"
    Image.fromarray(IDS.astype("uint8"), "P").save(painted)

    with pytest.raises(MosaicError, match="is in colour"):
        converted(image, tmp_path, truth=painted)


def test_a_damaged_map_is_named(tmp_path, image):
    (tmp_path / "t.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")

    with pytest.raises(MosaicError, match="cut off"):
        converted(image, tmp_path, truth=tmp_path / "t.png")


@pytest.fixture
def simulated(tmp_path):
    """A mosaic with truth inside and a table beside, as ``tessera simulate`` leaves them."""
    path = tmp_path / "s.ome.zarr"
    write_mosaic(path, np.ones((3, 4), "uint8"), pixel_size_nm=1.0)
    writer = create_instances(path, "truth", shape=(3, 4), pixel_size_nm=1.0, shard_px=2048)
    writer.write_core(Window(0, 0, 3, 4), IDS.astype("uint32"))
    writer.finish()
    return path


def test_simulated_truth_is_copied_with_its_table(tmp_path, simulated):
    known = [
        {"mosaic": "s", "truth_instance": 5, "label": "right", "attributes": "{}"},
        {"mosaic": "s", "truth_instance": 9, "label": "left", "attributes": "{}"},
    ]
    pyarrow.parquet.write_table(to_table("truth", known), tmp_path / "s.truth.parquet")

    job = converted(simulated, tmp_path, kind="zarr")

    assert has_instances(job.mosaic_path, "truth")
    assert [(r["mosaic"], r["truth_instance"], r["label"]) for r in rows(job)] == [
        ("m", 5, "right"),
        ("m", 9, "left"),
    ]


def test_truth_without_a_table_gets_rows_of_its_own(tmp_path, simulated):
    job = converted(simulated, tmp_path, kind="zarr")

    assert [r["truth_instance"] for r in rows(job)] == [5, 9]
    assert pyarrow.parquet.read_schema(job.truth_table).equals(TRUTH)


def test_a_table_without_a_column_is_refused(tmp_path, simulated):
    table = to_table("truth", [{"truth_instance": 5}]).drop_columns(["label"])
    pyarrow.parquet.write_table(table, tmp_path / "s.truth.parquet")

    with pytest.raises(MosaicError, match=r"truth table s\.truth\.parquet is damaged"):
        converted(simulated, tmp_path, kind="zarr")


def test_an_image_without_truth_gets_none(tmp_path, image):
    job = converted(image, tmp_path)

    assert not has_instances(job.mosaic_path, "truth")
    assert not job.truth_table.exists()


def test_an_instance_across_blocks_is_summed_whole():
    whole, parts = InstanceSums(), InstanceSums()
    ids = np.kron(IDS, np.ones((3, 3))).astype("uint32")

    whole.add(ids, 0, 0)
    for y in (0, 4, 8):
        parts.add(ids[y : y + 4], y, 0)

    assert parts.rows("m") == whole.rows("m")
