import shutil

import numpy as np
import pytest

from cluster.resources import ActorPool
from pipelines.archive import create_archive
from pipelines.classifiers.flow import predict_here, predict_on_ray
from pipelines.classifiers.model import check_pixel_size, load_classifier
from pipelines.errors import ArchiveError, ModelError, SettingsError
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.tables import read_rows, replace_rows
from services import cli
from services.learning_set import to_particles
from services.model_registry import load_model
from services.verbs import predict


def run(archive, **settings):
    settings.setdefault("model", "classifier@candidate")
    return predict.execute(predict.Settings(archive=archive.root, **settings))


def rows_of(archive, mosaic):
    return read_rows(archive, "predictions", filters=[("mosaic", "=", mosaic)]).to_pylist()


@pytest.fixture(scope="module")
def archive(trained_hands, tmp_path_factory):
    """A copy of the trained archive, with its particles predicted once."""
    archive = create_archive(tmp_path_factory.mktemp("predicted") / "a")
    shutil.copytree(trained_hands[0].root, archive.root, dirs_exist_ok=True)
    return archive, run(archive)


def test_every_particle_is_told_with_a_calibrated_probability(archive):
    archive, outcome = archive

    assert outcome.word == "predicted"
    assert outcome.values["particles"] == 84
    assert outcome.values["left"] + outcome.values["right"] == 84
    rows = rows_of(archive, "mixed")
    assert [row["instance"] for row in rows] == list(range(1, 25))
    for row in rows:
        assert row["classes"] == ["left", "right"]
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["confidence"] == max(row["probabilities"])
        assert row["label"] == row["classes"][int(np.argmax(row["probabilities"]))]
        assert row["model_uri"] == outcome.values["model"] == "models:/classifier/1"
        assert row["label_version"] == 0
    right = [row["label"] == ("right" if row["instance"] % 2 else "left") for row in rows]
    assert np.mean(right) >= 0.9


def test_what_was_predicted_is_not_predicted_again(archive, monkeypatch):
    archive, first = archive
    monkeypatch.setattr(predict, "_classify", None)

    again = run(archive)
    one = run(archive, mosaic=("mixed",))

    assert again.values == {**first.values, "unchanged": 2}
    assert (one.values["mosaics"], one.values["particles"]) == (1, 24)


def test_a_mosaic_segmented_anew_is_predicted_anew_and_alone(
    trained_hands, archive_maker, tmp_path, monkeypatch
):
    archive = create_archive(tmp_path / "copy")
    shutil.copytree(trained_hands[0].root, archive.root, dirs_exist_ok=True)
    run(archive)
    before = read_rows(archive, "predictions").num_rows
    table = read_rows(archive, "particles")
    kept = table.filter(
        [not (m == "mixed" and i > 20) for m, i in
         zip(table["mosaic"].to_pylist(), table["instance"].to_pylist(), strict=True)]
    )  # fmt: skip
    replace_rows(archive, "particles", kept, where=None)

    outcome = run(archive)

    assert outcome.values["unchanged"] == 1
    assert read_rows(archive, "predictions").num_rows == before - 4
    assert [row["instance"] for row in rows_of(archive, "mixed")] == list(range(1, 21))


def test_probabilities_do_not_depend_on_the_company(archive):

    archive, outcome = archive
    model = load_classifier(load_model(archive, outcome.values["model"]).folder)
    rows = read_rows(archive, "particles", filters=[("mosaic", "=", "mixed")]).slice(3, 1)
    size = open_mosaic(archive.mosaic("mixed")).info.pixel_size_nm
    crops = model.view.crops([archive.mosaic("mixed")], [size], to_particles(rows, ["mixed"]))

    alone = model.probabilities(crops.read(np.arange(1)))[0]

    assert alone == pytest.approx(rows_of(archive, "mixed")[3]["probabilities"], abs=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nobody@candidate", "nobody@candidate is not registered"),
        ("classifier@champion", "classifier@champion is not registered"),
        ("classifier/7", "classifier/7 is not registered"),
        ("classifier", "must be NAME@ALIAS or NAME/VERSION"),
    ],
)
def test_a_model_that_is_not_there_is_refused(archive, model, message):
    with pytest.raises(ModelError, match=message):
        run(archive[0], model=model)


def test_a_mosaic_that_is_not_there_is_refused(archive):
    with pytest.raises(SettingsError, match=r"no mosaic .* matches 'x'"):
        run(archive[0], mosaic=("x",))


@pytest.mark.parametrize(
    ("pixel_size_nm", "message"),
    [(None, "has no pixel size"), (9.0, "takes 1 to 4 nm"), (0.5, "takes 1 to 4 nm")],
)
def test_pixels_unlike_those_trained_on_are_refused(pixel_size_nm, message):
    config = {"pixel_size_nm": [2.0, 2.0], "view": {"in_nm": True}}

    with pytest.raises(ModelError, match=message):
        check_pixel_size(config, "m", pixel_size_nm)


def test_an_archive_without_particles_says_which_verb_finds_them(tmp_path):
    with pytest.raises(ArchiveError, match=r"no mosaics"):
        run(create_archive(tmp_path / "a"))


def test_the_result_is_one_line_of_keys_and_values(archive, capsys):
    archive, _ = archive

    arguments = ["predict", "--archive", str(archive.root), "--model", "classifier@candidate"]
    status = cli.run(arguments)

    assert status == 0
    out = capsys.readouterr().out
    assert out.startswith("predicted mosaics=2 unchanged=2 particles=84 model=models:/classifier/1")
    assert out.count("\n") == 1


def test_without_a_model_the_flag_is_missed(archive, capsys):
    assert cli.run(["predict", "--archive", str(archive[0].root)]) == 2

    assert "--model is missing" in capsys.readouterr().err


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_actors_say_what_this_process_says(archive, embedded_ray):

    archive, outcome = archive
    folder = load_model(archive, outcome.values["model"]).folder
    rows = read_rows(archive, "particles").sort_by("particle_id")
    names = ["mixed", "synthesis"]
    model = load_classifier(folder)
    crops = model.view.crops([archive.mosaic(n) for n in names], [2.0, 2.0],
                             to_particles(rows, names))  # fmt: skip

    here, there = np.zeros((84, 2)), np.zeros((84, 2))
    for where, found in predict_here(model, crops):
        here[where] = found
    for where, found in predict_on_ray(folder, crops, pool=ActorPool(2), batch_n_particles=30):
        there[where] = found

    np.testing.assert_allclose(there, here, atol=1e-5)
