import numpy as np

from services.report.inputs import ReportInputs
from services.report.particles import is_known, read_particles


def test_labels_predictions_and_truth_stand_with_their_particle(scene):
    ids = scene.add_mosaic("m")
    scene.label("m", ["right", None, "left"])
    scene.predict("m", [0.9, 0.4, 0.5])
    scene.know("m", ["left", "right", "none"])

    particles = read_particles(scene.archive, ReportInputs(scores={"m": scene.score("m")}))

    order = np.argsort(ids)
    assert particles.ids.tolist() == sorted(ids)
    assert particles.given.tolist() == np.array(["right", None, "left"])[order].tolist()
    assert particles.predicted.tolist() == np.array(["right", "left", "right"])[order].tolist()
    assert particles.true.tolist() == np.array(["left", "right", "none"])[order].tolist()
    assert particles.classes == ("left", "right")
    assert particles.probabilities[:, 1].tolist() == np.array([0.9, 0.4, 0.5])[order].tolist()
    assert np.allclose(particles.confidence, np.array([0.9, 0.6, 0.5])[order])


def test_a_particle_without_prediction_has_no_confidence(scene):
    scene.add_mosaic("a")
    scene.add_mosaic("b")
    scene.predict("a", [0.9, 0.9, 0.9])

    particles = read_particles(scene.archive, ReportInputs())

    assert np.isnan(particles.confidence[particles.rows_of("b")]).all()
    assert not is_known(particles.predicted[particles.rows_of("b")]).any()
    assert particles.rows_of("no such mosaic").tolist() == []


def test_the_last_model_is_shown_unless_another_is_named(scene):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.9, 0.9], model_uri="models:/m/1")
    scene.predict("m", [0.1, 0.1, 0.1], model_uri="models:/m/2")

    first = read_particles(scene.archive, ReportInputs(model_uri="models:/m/1"))

    assert set(first.predicted) == {"right"}
    assert first.model_uri == "models:/m/1"


def test_a_label_of_an_earlier_segmentation_is_another_particles(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right"] * 3, segmentation="s0")

    particles = read_particles(scene.archive, ReportInputs())

    assert not is_known(particles.given).any()


def test_an_older_label_version_can_be_shown(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right"] * 3)
    scene.label("m", ["left"] * 3)

    newest = read_particles(scene.archive, ReportInputs())
    oldest = read_particles(scene.archive, ReportInputs(label_version=0))

    assert (set(newest.given), set(oldest.given)) == ({"left"}, {"right"})


def test_only_particles_that_can_be_told_and_were_not_trained_on_are_test(scene):
    scene.add_mosaic("a")
    scene.add_mosaic("b")
    scene.know("a", ["left", "right", "none"])
    scene.know("b", ["left", "right", "none"], determinable=[True, True, False])
    scores = {name: scene.score(name) for name in "ab"}

    def test_instances(**inputs):
        particles = read_particles(scene.archive, ReportInputs(scores=scores, **inputs))
        chosen = particles.is_test
        return sorted(zip(particles.mosaic[chosen], particles.instance[chosen], strict=True))

    first = read_particles(scene.archive, ReportInputs()).ids[:1].tolist()
    assert len(test_instances()) == 5
    assert test_instances(held_out=("b",)) == [("b", 1), ("b", 2)]
    assert len(test_instances(held_out=("b",), test_particles=first)) <= 1
    assert test_instances(test_particles=[]) == []


def test_hands_come_first_then_the_models_classes_then_the_rest(scene):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.9, 0.9])

    particles = read_particles(scene.archive, ReportInputs())

    assert particles.order({"rod", "left", "debris", "right"}) == ["right", "left", "debris", "rod"]
    assert particles.names(np.array(["rod", None, "left"], dtype=object)) == ["left", "rod"]
