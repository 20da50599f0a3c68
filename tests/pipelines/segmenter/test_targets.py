import numpy as np
import pytest

from pipelines.segmenter.targets import find_rim, make_targets

#: A square of five, and beside it, touching, one of three by five.
IDS = np.zeros((9, 12), dtype=np.int32)
IDS[2:7, 1:6] = 4
IDS[2:7, 6:9] = 9


def test_the_rim_runs_inside_objects_and_between_those_that_touch():
    found = find_rim(IDS)[4].astype(int).tolist()

    assert found == [0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0]


def test_depth_is_one_in_the_middle_of_each_object_however_small():
    depth = make_targets(IDS, object_px=5.0).fields[1]

    assert depth[4, 3] == pytest.approx(1.0)
    assert depth[4, 7] == pytest.approx(1.0)
    assert depth[4].argmax() in (3, 7)
    assert (depth[IDS == 0] == 0).all()


def test_depth_falls_to_where_objects_touch():
    depth = make_targets(IDS, object_px=5.0).fields[1][4]

    assert depth[5] < 0.3
    assert depth[6] < 0.5


def test_width_says_how_many_octaves_an_object_is_off():
    ids = np.zeros((40, 40), dtype=np.int32)
    y, x = np.mgrid[:40, :40]
    ids[(y - 20) ** 2 + (x - 20) ** 2 < 100] = 1

    assert make_targets(ids, object_px=10.0).fields[3][20, 20] == pytest.approx(1.0, abs=0.05)


def test_ids_may_be_anything():
    large = IDS.astype(np.int64) * 100_000_007

    found, expected = (make_targets(ids, object_px=5.0) for ids in (large, IDS))

    assert np.array_equal(found.fields, expected.fields)


def test_a_doubtful_pixel_weighs_little_in_every_field():
    confidence = np.ones(IDS.shape, np.float32)
    confidence[4, 3] = 0.25

    weights = make_targets(IDS, object_px=5.0, confidence=confidence).weights

    assert weights[:, 4, 3].tolist() == [0.25] * 4


def test_nothing_has_targets_of_nothing():
    fields = make_targets(np.zeros((5, 6), np.int32), object_px=5.0).fields

    assert not fields.any()
