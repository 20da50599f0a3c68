"""Cellpose and StarDist: what is said where they are absent, and how a fake of each is called."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
from skimage.measure import label

from pipelines.errors import SettingsError
from pipelines.records import Window
from pipelines.segmentation.method import load_method, method_identity
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey

CALLS: list[tuple[str, dict]] = []


def fake_module(name, **content):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    for key, value in content.items():
        setattr(module, key, value)
    return module


class CellposeModel:
    """The public call of Cellpose, version 3 and 4."""

    def __init__(
        self, gpu=False, pretrained_model="cpsam", model_type=None, diam_mean=None, device=None,
        nchan=None,
    ):  # fmt: skip
        CALLS.append(("CellposeModel", {"gpu": gpu, "pretrained_model": pretrained_model}))

    def eval(
        self, x, batch_size=8, resample=True, channels=None, channel_axis=None, z_axis=None,
        normalize=True, invert=False, rescale=None, diameter=None, flow_threshold=0.4,
        cellprob_threshold=0.0, do_3D=False, anisotropy=None,
    ):  # fmt: skip
        CALLS.append(
            ("eval", {"normalize": normalize, "diameter": diameter, "dtype": x.dtype.name})
        )
        return label(x > 0.5).astype(np.uint16), [x, x, x], np.zeros(256, np.float32)


class StarDist2D:
    """The public call of StarDist 0.9."""

    def __init__(self, config, name=None, basedir="."):
        CALLS.append(("StarDist2D", {"config": config, "name": name, "basedir": basedir}))

    def predict_instances(
        self, img, axes=None, normalizer=None, sparse=True, prob_thresh=None, nms_thresh=None,
        scale=None, n_tiles=None, show_tile_progress=True, verbose=False, return_labels=True,
    ):  # fmt: skip
        CALLS.append(("predict_instances", {"dtype": img.dtype.name}))
        return label(img > 0.5).astype(np.int32), {"coord": None, "points": None, "prob": None}


@pytest.fixture
def fakes(monkeypatch):
    CALLS.clear()
    models = fake_module("cellpose.models", CellposeModel=CellposeModel)
    core = fake_module("cellpose.core", use_gpu=lambda: False)
    modules = {
        "cellpose": fake_module("cellpose", models=models, core=core, __path__=[]),
        "cellpose.models": models,
        "cellpose.core": core,
        "stardist": fake_module("stardist", __path__=[]),
        "stardist.models": fake_module("stardist.models", StarDist2D=StarDist2D),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def weights(tmp_path):
    """A model of each, as far as a fake needs one."""
    (tmp_path / "cp").write_bytes(b"weights")
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "weights_best.h5").write_bytes(b"weights")
    return {"cellpose": tmp_path / "cp", "stardist": tmp_path / "sd"}


@pytest.mark.parametrize("name", ["cellpose", "stardist"])
def test_a_package_that_is_absent_is_told_how_to_get(name, weights):
    if name in sys.modules:
        pytest.skip(f"{name} is installed")

    with pytest.raises(SettingsError, match=rf"pip install 'tessera-mosaic\[{name}\]'"):
        load_method(f"{name}:{weights[name]}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cellpose", "needs the file of a model that you have: --model-path FILE"),
        ("stardist", "needs the folder of a model that you have: --model-path FOLDER"),
        ("cellpose:/gone", "there is no model file /gone"),
        ("stardist:/gone", "there is no model folder /gone"),
        # Cellpose takes a name that is no file for one to be downloaded.
        ("cellpose:cyto3", "there is no model file cyto3"),
    ],
)
def test_weights_that_are_absent_are_asked_for_and_never_downloaded(fakes, name, message):
    with pytest.raises(SettingsError, match=message):
        load_method(name)

    assert CALLS == []


@pytest.mark.parametrize("name", ["cellpose", "stardist"])
def test_what_the_package_finds_becomes_plateaus(fakes, weights, name):
    image = np.full((40, 60), 20, np.uint8)
    image[5:15, 5:15] = 120
    image[20:35, 30:50] = 110
    survey = Survey(
        True, 0.0, 64, np.array([[20]], np.uint8), np.array([[70]], np.uint8), contrast=100.0
    )

    method = load_method(f"{name}:{weights[name]}")
    heights = method.heights(image, Window(0, 0, 40, 60), survey, SegmentationSettings())

    assert np.array_equal(heights > 0, image > 50)
    assert set(np.unique(heights)) == {0, 4095}


def test_cellpose_gets_the_file_and_no_scale_of_the_blocks_own(fakes, weights):
    method = load_method(f"cellpose:{weights['cellpose']}")

    method.find(np.zeros((8, 8), np.float32), SegmentationSettings(object_px=30.0))

    assert [
        ("CellposeModel", {"gpu": False, "pretrained_model": str(weights["cellpose"])}),
        ("eval", {"normalize": False, "diameter": 30.0, "dtype": "float32"}),
    ] == CALLS


def test_stardist_gets_the_folder_by_name_and_place(fakes, weights):
    method = load_method(f"stardist:{weights['stardist']}")

    method.find(np.zeros((8, 8), np.float32), SegmentationSettings())

    made = {"config": None, "name": "sd", "basedir": str(weights["stardist"].parent)}
    assert [("StarDist2D", made), ("predict_instances", {"dtype": "float32"})] == CALLS


def test_other_weights_are_another_method(fakes, weights):
    name = f"stardist:{weights['stardist']}"
    before = method_identity(name)
    (weights["stardist"] / "weights_best.h5").write_bytes(b"others")

    assert method_identity(name) != before
