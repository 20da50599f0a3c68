import pytest

from pipelines.archive import create_archive
from pipelines.errors import ModelError
from pipelines.segmentation.learned.model_folder import write_model_folder
from pipelines.segmentation.learned.network import build_network
from services.segmenter_registry import (
    REQUIRED,
    list_segmenters,
    load_segmenter,
    mark_best,
    newest_segmenters,
    register_segmenter,
)
from services.tracking import open_client, track_run

SMALL = {"channels": [8, 8], "layers": 1, "around_px": 36}
CONFIG = {
    "network": SMALL,
    "object_px": 24.0,
    "polarity_free": True,
    "widths_px": [18.0, 22.5],
    "pixel_sizes_nm": [2.0, 2.5],
}
CARD = {
    "seed": 0,
    "settings": {"epochs": 1},
    "code_version": "1",
    "libraries": {"torch": "2"},
    "mosaics": {"a": "d"},
    "masks": {"a": "m"},
    "plan_digest": "p",
    "data_digest": "x",
    "metrics": {"loss": 0.5, "f1_50": 0.9},
}


# A database of MLflow's takes seconds to make, so tests that do not mind share one.
@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return create_archive(tmp_path_factory.mktemp("registry") / "a")


def register(archive, folder, *, name="grains", card=CARD, config=CONFIG):
    write_model_folder(folder, build_network(SMALL), config)
    with track_run(archive, "segmenter fit", {}) as run:
        return register_segmenter(run, folder, name=name, card=card)


def test_a_name_alone_means_the_champion_and_without_one_the_newest(archive, tmp_path):
    first = register(archive, tmp_path / "one")
    second = register(archive, tmp_path / "two")

    newest = load_segmenter(archive, "grains")
    open_client(archive).set_registered_model_alias("grains", "champion", first.version)
    champion = load_segmenter(archive, "grains")
    open_client(archive).delete_registered_model_alias("grains", "champion")

    assert newest.uri == second.uri
    assert champion.uri == first.uri
    assert load_segmenter(archive, f"grains/{first.version}").uri == first.uri
    assert load_segmenter(archive, "grains@candidate").card["masks"] == {"a": "m"}


def test_a_list_says_what_each_version_is_for_and_how_good_it_was(archive, tmp_path):
    made = register(archive, tmp_path / "one", name="listed")
    mark_best(archive, f"listed/{made.version}", {"best_for": "2 nm"})

    (version,) = [v for v in list_segmenters(archive) if v.name == "listed"]

    assert version.aliases == ("best", "candidate")
    assert version.widths_px == (18.0, 22.5)
    assert version.pixel_sizes_nm == (2.0, 2.5)
    assert version.metrics == {"f1_50": 0.9}
    assert version.weights_digest == made.config["weights_digest"]


def test_of_several_versions_the_one_that_the_name_means_is_taken(archive, tmp_path):
    register(archive, tmp_path / "one", name="several")
    second = register(archive, tmp_path / "two", name="several")

    (chosen,) = [v for v in newest_segmenters(archive) if v.name == "several"]

    assert chosen.version == second.version


@pytest.mark.parametrize("key", REQUIRED)
def test_a_segmenter_that_could_not_be_made_again_is_refused(archive, tmp_path, key):
    card = {name: value for name, value in CARD.items() if name != key}

    with pytest.raises(ModelError, match=f"cannot be registered without {key}"):
        register(archive, tmp_path / "one", card=card)


def test_an_unknown_name_is_refused_with_those_that_are_known(archive, tmp_path):
    register(archive, tmp_path / "one")

    with pytest.raises(ModelError, match=r"segmenter 'gone' is not registered; known are .*grains"):
        load_segmenter(archive, "gone")


def test_a_classifier_is_no_segmenter(archive, tmp_path):
    made = register(archive, tmp_path / "one", name="other")
    stored = load_segmenter(archive, made.uri.removeprefix("models:/")).folder
    (stored / "card.json").write_text('{"kind": "classifier"}')

    with pytest.raises(ModelError, match="is no segmenter"):
        load_segmenter(archive, "other")


def test_weights_that_were_exchanged_are_refused(archive, tmp_path):
    made = register(archive, tmp_path / "one", name="exchanged")
    stored = load_segmenter(archive, "exchanged").folder
    assert made.folder != stored
    card = (stored / "card.json").read_text()
    write_model_folder(stored, build_network(SMALL), CONFIG)
    (stored / "card.json").write_text(card)

    with pytest.raises(ModelError, match="not those that were registered"):
        load_segmenter(archive, "exchanged")
