import json

import numpy as np
import pytest

from pipelines.classifiers.fit import HISTORY_FILE
from pipelines.classifiers.flow import ParticleClassifier, predict_here, train_classifier
from pipelines.classifiers.model import load_classifier
from pipelines.training.splits import TEST


@pytest.fixture
def model(plan, tmp_path):
    return train_classifier(plan, folder=tmp_path / "run")


def probabilities(model, crops):
    found = np.full((len(crops), 2), np.nan)
    for rows, values in predict_here(load_classifier(model), crops):
        found[rows] = values
    return found


def test_every_particle_is_classified_once(plan, model):
    crops = plan.crops()

    rows = np.concatenate([rows for rows, _ in predict_here(load_classifier(model), crops)])

    assert sorted(rows.tolist()) == list(range(100))


def test_nobody_to_classify_gives_nothing(plan, model, vary):
    particles = type(plan.particles)(*(values[:0] for values in vars(plan.particles).values()))

    crops = vary(plan, particles=particles).crops()

    assert list(predict_here(load_classifier(model), crops)) == []


def test_an_actor_says_what_this_process_says(plan, model):
    crops = plan.crops()
    actor = ParticleClassifier(str(model), [str(p) for p in crops.paths], list(crops.fields_px))
    rows = np.array([7, 3])

    said = actor(
        {
            "row": rows,
            "mosaic_index": crops.mosaic_index[rows],
            "y": crops.centres_yx[rows, 0],
            "x": crops.centres_yx[rows, 1],
            "orientation": crops.orientations_rad[rows],
        }
    )

    assert said["row"].tolist() == [7, 3]
    np.testing.assert_allclose(said["probabilities"], probabilities(model, crops)[rows], atol=1e-6)


def test_an_actor_takes_an_empty_block_without_columns(plan, model):
    assert ParticleClassifier(str(model), [], [])({}) == {}


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_two_workers_learn_as_well_as_one(plan, vary, tmp_path, embedded_ray):
    plan = vary(plan, loop_n_epochs=14)

    model = train_classifier(plan, folder=tmp_path / "run", n_workers=2)

    assert len(json.loads((tmp_path / "run" / HISTORY_FILE).read_text())) == 14
    tested = plan.roles == TEST
    said = probabilities(model, plan.crops()).argmax(axis=1)
    assert (said[tested] == plan.true_labels[tested]).mean() >= 0.9
