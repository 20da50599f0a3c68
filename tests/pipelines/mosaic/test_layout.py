import threading

import numpy as np
import pytest
import zarr

from pipelines.mosaic import layout
from pipelines.mosaic.layout import codec_engine, create_array, open_array, plan_storage


@pytest.fixture(params=["zarr-python", "zarrs"])
def engine(request, monkeypatch):
    if request.param == "zarrs":
        pytest.importorskip("zarrs", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(layout, "has_fast_engine", lambda: request.param == "zarrs")
    return request.param


def store(path, image):
    array = create_array(
        path, shape=image.shape, dtype=image.dtype, chunk_px=32, shard_px=64, zstd_level=1
    )
    for y in range(0, image.shape[0], 64):
        for x in range(0, image.shape[1], 64):
            array[y : y + 64, x : x + 64] = image[y : y + 64, x : x + 64]
    return array


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_either_engine_gives_back_what_was_written(tmp_path, rng, engine, dtype):
    image = (rng.random((130, 70)) * 200).astype(dtype)

    store(tmp_path / "a", image)

    assert (open_array(tmp_path / "a")[...] == image).all()
    assert (open_array(tmp_path / "a")[60:129, 5:66] == image[60:129, 5:66]).all()


def test_each_engine_reads_what_the_other_wrote(tmp_path, rng, monkeypatch):
    pytest.importorskip("zarrs", reason="the extra 'fast' is not installed")
    image = rng.integers(0, 255, (130, 70), dtype="uint8")

    for writer in (True, False):
        monkeypatch.setattr(layout, "has_fast_engine", lambda writer=writer: writer)
        store(tmp_path / str(writer), image)
        monkeypatch.setattr(layout, "has_fast_engine", lambda writer=writer: not writer)
        assert (open_array(tmp_path / str(writer))[...] == image).all()


def test_an_empty_shard_leaves_no_file(tmp_path, engine):
    image = np.zeros((64, 128), "uint32")
    image[:, 70] = 5

    store(tmp_path / "a", image)

    assert not (tmp_path / "a" / "c" / "0" / "0").exists()
    assert (tmp_path / "a" / "c" / "0" / "1").exists()


def test_a_shard_emptied_again_leaves_no_file(tmp_path, engine):
    array = store(tmp_path / "a", np.ones((64, 64), "uint32"))

    array[...] = 0

    assert not (tmp_path / "a" / "c" / "0" / "0").exists()


@pytest.mark.parametrize(
    ("shape", "chunk", "shard"),
    [
        ((9000, 9000), (512, 512), (2048, 2048)),
        ((700, 9000), (512, 512), (1024, 2048)),
        ((512, 512), (512, 512), (512, 512)),
        ((3, 600), (3, 512), (3, 1024)),
    ],
)
def test_a_small_image_is_not_padded_to_a_large_shard(shape, chunk, shard):
    assert plan_storage(shape, chunk_px=512, shard_px=2048) == (chunk, shard)


def test_a_shard_that_cannot_be_cut_into_chunks_is_refused():
    with pytest.raises(ValueError, match="shard_px=1000, chunk_px=512"):
        plan_storage((9000, 9000), chunk_px=512, shard_px=1000)


def test_two_threads_that_choose_an_engine_at_once_leave_the_setting_as_it_was():
    before = zarr.config.get("codec_pipeline.path")
    entered, may_leave = threading.Event(), threading.Event()

    def choose():
        with codec_engine():
            entered.set()
            may_leave.wait(10)

    other = threading.Thread(target=choose)
    with codec_engine():
        other.start()
        # Without turns it enters here, and puts back what it found.
        entered.wait(0.2)
    may_leave.set()
    other.join()

    assert zarr.config.get("codec_pipeline.path") == before


def test_what_others_wrote_is_read_by_the_plain_engine():
    with codec_engine(), codec_engine(fast=False):
        assert zarr.config.get("codec_pipeline.path").startswith("zarr.core")
