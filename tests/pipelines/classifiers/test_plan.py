import numpy as np
import pytest

from pipelines.classifiers.plan import Particles, View, check_samples, plan_classes, plan_view
from pipelines.errors import LabelError, ModelError
from pipelines.training.augmentation import Augmentation
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import SELECT, TEST, TRAIN

HANDS = [("right", "left")]


@pytest.mark.parametrize(
    ("labels", "pairs", "classes", "mirrored"),
    [
        (["right"], HANDS, ["left", "right"], [1, 0]),
        (["none", "left"], HANDS, ["left", "none", "right"], [2, 1, 0]),
        (["dot", "blob"], HANDS, ["blob", "dot"], [0, 1]),
        (["dot", "blob"], [], ["blob", "dot"], [0, 1]),
        (["s", "a", "d"], [("s", "z"), ("d", "b")], ["a", "b", "d", "s", "z"], [0, 2, 1, 4, 3]),
    ],
)
def test_a_class_brings_the_class_of_its_mirror_image_with_it(labels, pairs, classes, mirrored):
    assert plan_classes(labels, pairs) == (classes, mirrored)


@pytest.mark.parametrize(
    ("labels", "pairs", "rule"),
    [
        ([], HANDS, "no particle has a label"),
        (["dot"], HANDS, "all labels are 'dot'"),
        (["right"], [], "all labels are 'right'"),
        (["a", "b"], [("a", "b"), ("b", "c")], "b:c names a class that has a partner already"),
        (["a", "b"], [("a", "a")], "a:a names a class"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(labels, pairs, rule):
    with pytest.raises(LabelError, match=rule):
        plan_classes(labels, pairs)


def check(roles, given, classes, mirrored):
    check_samples(np.array(roles), np.array(given), classes, mirrored)


def test_a_class_that_is_seen_only_in_the_mirror_can_be_learnt():
    check([TRAIN, SELECT], [1, 1], ["left", "right"], [1, 0])


def test_a_class_without_a_particle_to_train_on_is_refused():
    with pytest.raises(LabelError, match="class 'dot' has no particle to train on"):
        check([TRAIN, TEST, SELECT], [0, 1, 0], ["blob", "dot"], [0, 1])


@pytest.mark.parametrize(
    ("roles", "missing"), [([TRAIN, TRAIN], "select"), ([SELECT] * 2, "train")]
)
def test_a_part_without_labels_is_refused(roles, missing):
    with pytest.raises(LabelError, match=f"falls to the '{missing}' part"):
        check([*roles, TRAIN, SELECT], [0, 1, UNKNOWN, UNKNOWN], ["a", "b"], [0, 1])


def test_the_input_is_the_middle_of_what_is_read():
    for any_rotation in (True, False):
        augmentation = Augmentation(any_rotation=any_rotation)

        view = plan_view(90, in_nm=True, input_px=64, aligned=False, augmentation=augmentation)

        assert view.read_px > 64
        assert (view.read_px - 64) % 2 == 0


def test_crops_show_the_field_at_the_inputs_scale_in_every_mosaic(tmp_path):
    view = View(field=100.0, in_nm=True, input_px=50, read_px=70, aligned=True)
    nobody = Particles(*(np.empty(0, int) for _ in range(2)), np.empty((0, 2)), np.empty(0))

    crops = view.crops([tmp_path / "a", tmp_path / "b"], [2.0, 0.5], nobody)

    assert crops.fields_px == pytest.approx((70.0, 280.0))
    assert (crops.spec.size_px, crops.spec.aligned) == (70, True)


def test_a_field_in_nanometres_needs_pixels_of_known_size():
    view = View(field=100.0, in_nm=True, input_px=50, read_px=70, aligned=True)

    with pytest.raises(ModelError, match="pixel size must be known"):
        view.field_px(None)


def test_a_field_in_pixels_is_the_same_in_every_mosaic():
    view = View(field=100.0, in_nm=False, input_px=50, read_px=70, aligned=True)

    assert view.field_px(None) == view.field_px(3.0) == 100
