"""What a method's name means, and which mosaics a learned one is refused for."""

from dataclasses import dataclass

import pytest

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from pipelines.segmentation.learned.model_folder import write_model_folder
from pipelines.segmentation.learned.network import build_network
from services.segmenting.choice import Choice, remember
from services.segmenting.reference import Resolved, check_fit, resolve, resolve_all

SMALL = {"channels": [8, 8], "layers": 1, "around_px": 36}


@dataclass(frozen=True)
class Info:
    """What is asked of a mosaic."""

    name: str
    pixel_size_nm: float | None


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


@pytest.fixture
def model(tmp_path):
    config = {
        "network": SMALL,
        "object_px": 24.0,
        "polarity_free": True,
        "widths_px": [20.0, 30.0],
        "pixel_sizes_nm": [2.0, 3.0],
    }
    write_model_folder(tmp_path / "model", build_network(SMALL), config)
    return tmp_path / "model"


def test_plain_names_stay_as_they_are(archive):
    assert resolve(archive, "otsu") == Resolved("otsu", "otsu")


def test_files_are_found_from_any_folder(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert resolve(archive, "own.py:METHOD").method == f"{tmp_path / 'own.py'}:METHOD"
    assert resolve(archive, "cellpose:mine").method == f"cellpose:{tmp_path / 'mine'}"


def test_a_folder_may_take_the_place_of_a_registered_name(archive, model):
    found = resolve(archive, f"learned:{model}")

    assert found.method == f"learned:{model}"
    assert len(found.weights_digest) == 32
    assert found.reference == ""


def test_learned_alone_is_not_enough(archive):
    with pytest.raises(SettingsError, match="needs a segmenter: learned:NAME"):
        resolve(archive, "learned")


@pytest.mark.parametrize(
    ("pixel_size_nm", "object_px"), [(1.4, None), (4.4, None), (None, 14.0), (2.5, 44.0)]
)
def test_a_model_is_used_somewhat_beyond_what_it_was_fitted_on(
    archive, model, pixel_size_nm, object_px
):
    check_fit(resolve(archive, f"learned:{model}"), "mosaic m", pixel_size_nm, object_px)


@pytest.mark.parametrize(
    ("pixel_size_nm", "object_px", "message"),
    [
        (1.2, None, r"on pixel sizes of 2 to 3 nm and is used from 1.33 to 4.5; mosaic m has 1.2"),
        (5.0, None, r"mosaic m has 5 nm; --force uses it all the same"),
        (2.0, 60.0, r"on objects of 20 to 30 px and is used from 13.3 to 45; mosaic m has 60 px"),
    ],
)
def test_a_model_is_refused_far_beyond_what_it_was_fitted_on(
    archive, model, pixel_size_nm, object_px, message
):
    with pytest.raises(SettingsError, match=message):
        check_fit(resolve(archive, f"learned:{model}"), "mosaic m", pixel_size_nm, object_px)


def test_force_takes_a_model_anywhere(archive, model):
    method, infos = f"learned:{model}", [Info("m", 9.0)]

    with pytest.raises(SettingsError, match="--force"):
        resolve_all(archive, method, infos)
    methods, _ = resolve_all(archive, method, infos, force=True)

    assert list(methods.values()) == [["m"]]


def test_auto_takes_the_best_for_each_pixel_size(archive):
    best = {"otsu": (2.0, 2.0), "local": (8.0, 8.0)}
    choices = [
        Choice(method, sizes, (20.0, 20.0), 0.9, 0.8, 0.7, 4, tuple(best))
        for method, sizes in best.items()
    ]
    remember(archive, choices, run_id="r", code_version="1")

    methods, chosen = resolve_all(
        archive, "auto", [Info("fine", 2.1), Info("coarse", 7.0), Info("other", 1.9)]
    )

    assert {method.method: names for method, names in methods.items()} == {
        "otsu": ["fine", "other"], "local": ["coarse"]
    }  # fmt: skip
    assert chosen["coarse"].method == "local"
