import numpy as np
import pytest
from faster_coco_eval import mask as coco_mask

from pipelines.mosaic.ome_zarr import create_instances, open_instances, write_mosaic
from pipelines.records import Window
from services.label_export import coco
from services.label_export.coco import compress, find_boxes, run_lengths


def mask(*lines):
    return np.array([[sign == "#" for sign in line] for line in lines])


def whole(inside, box, shape):
    image = np.zeros(shape, np.uint8, order="F")
    image[box.slices] = inside
    return image


CASES = {
    "in the middle": (mask(".#.", "###"), Window(1, 2, 3, 5), (5, 7)),
    "from the first pixel": (mask("##", "#."), Window(0, 0, 2, 2), (3, 3)),
    "to the last pixel": (mask(".#", "##"), Window(1, 1, 3, 3), (3, 3)),
    "whole columns, one run": (mask("##", "##", "##"), Window(0, 1, 3, 3), (3, 4)),
    "everything": (mask("##", "##"), Window(0, 0, 2, 2), (2, 2)),
    "a ring": (mask("###", "#.#", "###"), Window(2, 3, 5, 6), (9, 9)),
}


@pytest.mark.parametrize("name", CASES)
def test_runs_go_down_the_columns_and_begin_with_background(name):
    inside, box, shape = CASES[name]
    image = whole(inside, box, shape)

    lengths = run_lengths(inside, box, shape)

    values = np.repeat(np.arange(len(lengths)) % 2, lengths)
    assert (values.reshape(shape, order="F") == image).all()
    assert all(length > 0 for length in lengths[1:])


@pytest.mark.parametrize("name", CASES)
def test_compressed_runs_are_those_of_coco_itself(name):
    inside, box, shape = CASES[name]
    expected = coco_mask.encode(whole(inside, box, shape))["counts"]

    assert compress(run_lengths(inside, box, shape)) == expected.decode()


def test_long_runs_are_compressed_as_coco_does():
    shape = (2000, 3000)
    inside, box = mask("#.#", "##."), Window(1500, 2500, 1502, 2503)

    found = compress(run_lengths(inside, box, shape))

    assert found == coco_mask.encode(whole(inside, box, shape))["counts"].decode()


def test_boxes_join_what_blocks_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "BLOCK_PX", 4)
    ids = np.zeros((9, 10), np.uint32)
    ids[2:7, 3:9], ids[0, 0], ids[8, 9] = 5, 7, 9
    write_mosaic(tmp_path / "m.ome.zarr", np.zeros(ids.shape, np.uint8), pixel_size_nm=None)
    writer = create_instances(tmp_path / "m.ome.zarr", shape=ids.shape, pixel_size_nm=None)
    writer.write_core(Window(0, 0, *ids.shape), ids)
    writer.finish()

    boxes = find_boxes(open_instances(tmp_path / "m.ome.zarr"), np.array([5, 9, 11]))

    assert boxes == {5: Window(2, 3, 7, 9), 9: Window(8, 9, 9, 10)}
