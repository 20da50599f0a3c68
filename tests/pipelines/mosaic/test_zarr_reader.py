import json

import numpy as np
import pytest
import zarr

from pipelines.errors import MosaicError
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.mosaic.zarr_reader import label_path, open_label, open_zarr_image
from pipelines.records import Window

AXES = "tczyx"


def axes(names, unit="nanometer"):
    kinds = {"t": "time", "c": "channel"}
    return [
        {"name": n, "type": kinds.get(n, "space"), **({"unit": unit} if n in "zyx" else {})}
        for n in names
    ]


def write_image(path, data, names, *, version="0.5", scale=None, unit="nanometer", **array):
    """Write an OME-Zarr image as other programs do."""
    zarr_format = 3 if version == "0.5" else 2
    scale = scale or [1.0] * len(names)
    multiscale = {
        "axes": axes(names, unit),
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
    }
    ome = {"version": version, "multiscales": [multiscale]}
    attributes = {"ome": ome} if version == "0.5" else {"multiscales": ome["multiscales"]}
    zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    kept = zarr.create_array(
        path / "0", shape=data.shape, dtype=data.dtype, zarr_format=zarr_format, **array
    )
    kept[...] = data
    return path


def read(path):
    with open_zarr_image(path) as image:
        return image.read(Window(0, 0, *image.shape))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("names", ["yx", "cyx", "zyx", "tczyx"])
def test_the_first_plane_is_read(tmp_path, rng, version, names):
    data = rng.integers(0, 65535, (2, 3, 4, 9, 13)[5 - len(names) :], dtype="uint16")
    path = write_image(tmp_path / "i.zarr", data, names, version=version, chunks=data.shape)

    assert (read(path) == data.reshape(-1, 9, 13)[0]).all()


def test_the_planes_that_are_left_out_are_mentioned(tmp_path):
    path = write_image(tmp_path / "i.zarr", np.zeros((2, 1, 7, 4, 4), "uint8"), "tczyx")

    with open_zarr_image(path) as image:
        assert image.notes == ("the first plane of 2 t, 7 z",)


def test_columns_stored_first_are_not_taken_for_rows(tmp_path, glyph):
    path = write_image(tmp_path / "i.zarr", np.ascontiguousarray(glyph.T), "xy")

    with open_zarr_image(path) as image:
        assert image.shape == glyph.shape
        assert (image.read(Window(2, 3, 11, 15)) == glyph[2:11, 3:15]).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_order_does_not_mirror(tmp_path, glyph, version, order):
    if version == "0.4":
        path = write_image(tmp_path / "i.zarr", glyph, "yx", version="0.4", order=order)
    else:
        pixels = np.asarray(glyph, order=order)
        path = write_image(tmp_path / "i.zarr", pixels, "yx", chunks=(5, 7))

    assert (read(path) == glyph).all()


@pytest.mark.parametrize(
    ("unit", "nm"), [("nanometer", 0.5), ("micrometer", 500.0), ("angstrom", 0.05), ("yard", None)]
)
def test_the_scale_is_read_with_its_unit(tmp_path, unit, nm):
    path = write_image(
        tmp_path / "i.zarr",
        np.zeros((2, 4, 4), "uint8"),
        "cyx",
        scale=[1.0, 0.5, 0.5],
        unit=unit,
    )

    with open_zarr_image(path) as image:
        found = image.pixel_size and image.pixel_size.edge_nm()
    assert found == (None if nm is None else pytest.approx(nm))


def test_a_scale_of_the_whole_image_counts_too(tmp_path):
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx", scale=[2.0, 2.0])
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [3.0, 3.0]}
    ]
    (path / "zarr.json").write_text(json.dumps(metadata))

    with open_zarr_image(path) as image:
        assert image.pixel_size.edge_nm() == 6.0


def test_an_image_of_several_is_its_first(tmp_path, glyph):
    path = tmp_path / "many.zarr"
    zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    write_image(path / "0", glyph, "yx", version="0.4")

    assert (read(path) == glyph).all()


def test_a_mosaic_of_ours_is_read_with_what_was_known_of_it(tmp_path, glyph):
    path = tmp_path / "m.ome.zarr"
    write_mosaic(path, glyph, pixel_size_nm=7.0, acquisition={"preset": "easy"})

    with open_zarr_image(path) as image:
        assert image.pixel_size.edge_nm() == 7.0
        assert image.details == {"preset": "easy"}
        assert (image.read(Window(0, 0, *glyph.shape)) == glyph).all()


def test_a_label_image_is_found_by_its_name(tmp_path, glyph):
    path = write_image(tmp_path / "i.zarr", glyph, "yx", version="0.4")
    zarr.create_group(path / "labels", zarr_format=2, attributes={"labels": ["truth"]})
    write_image(path / "labels" / "truth", glyph.astype("uint32"), "yx", version="0.4")

    assert label_path(path, "nuclei") is None
    plane = open_label(label_path(path, "truth"))
    assert (plane.read(Window(0, 0, *glyph.shape)) == glyph).all()


def test_a_codec_that_could_run_code_is_refused(tmp_path):
    """Pickle is a codec of Zarr v2."""
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx", version="0.4")
    metadata = json.loads((path / "0" / ".zarray").read_text())
    metadata["filters"] = [{"id": "pickle", "protocol": 5}]
    (path / "0" / ".zarray").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match="codec pickle is not read"):
        read(path)


def test_a_codec_hidden_inside_a_shard_is_refused(tmp_path):
    path = write_image(
        tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx", chunks=(2, 2), shards=(4, 4)
    )
    metadata = json.loads((path / "0" / "zarr.json").read_text())
    inner = metadata["codecs"][0]["configuration"]["codecs"]
    inner.append({"name": "numcodecs.pickle", "configuration": {}})
    (path / "0" / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match=r"codec numcodecs\.pickle is not read"):
        read(path)


@pytest.mark.parametrize("place", ["../other/0", "/etc", "", "a/../../b", 7])
def test_an_array_outside_the_image_is_refused(tmp_path, place):
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx")
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = place
    (path / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match="must lie inside the image"):
        read(path)


@pytest.mark.parametrize(
    ("metadata", "rule"),
    [
        ("{", r"metadata zarr\.json are damaged"),
        ("[]", "no multiscales"),
        ('{"attributes": {}}', "no multiscales"),
        ('{"attributes": {"ome": {"plate": {}}}}', "plate of many images"),
        ('{"attributes": {"ome": {"multiscales": []}}}', "list no multiscale"),
        ('{"attributes": {"ome": {"multiscales": [{"datasets": []}]}}}', "list no dataset"),
        (
            '{"attributes": {"ome": {"multiscales": [{"datasets": [{"path": "0"}]}]}}}',
            "array 0 is missing",
        ),
    ],
)
def test_a_zarr_that_is_no_image_is_refused(tmp_path, metadata, rule):
    path = tmp_path / "i.zarr"
    path.mkdir()
    (path / "zarr.json").write_text(metadata)

    with pytest.raises(MosaicError, match=rule):
        read(path)


def test_axes_that_do_not_fit_are_refused(tmp_path):
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx")
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["axes"] = axes("cyx")
    (path / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match="do not fit an array of shape"):
        read(path)


def test_a_chunk_too_large_for_memory_is_refused(tmp_path):
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx")
    metadata = json.loads((path / "0" / "zarr.json").read_text())
    metadata["shape"] = [2**20, 2**20]
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [2**20, 2**20]
    (path / "0" / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match=r"chunk of 1.02e.03 GiB must be decoded at once"):
        read(path)


def test_an_empty_zarr_that_claims_a_picture_without_end_is_refused(tmp_path):
    path = write_image(tmp_path / "i.zarr", np.zeros((4, 4), "uint8"), "yx")
    metadata = json.loads((path / "0" / "zarr.json").read_text())
    metadata["shape"] = [2**24, 2**24]
    (path / "0" / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(MosaicError, match="claims 281474976710656 bytes of pixels"):
        read(path)


def test_a_zarr_with_empty_chunks_is_read(tmp_path):
    data = np.zeros((2000, 2000), "uint8")
    data[1500, 1600] = 1

    path = write_image(tmp_path / "i.zarr", data, "yx", chunks=(100, 100))

    assert (read(path) == data).all()
