import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.sweeps.study_set import LEARN, TEST, read_study_set, write_study_set


def rewrite(study, folder, **changes):
    values = {
        name: getattr(study, name)
        for name in (
            "particle_ids", "true_labels", "groups", "difficulty", "order", "classes",
            "mirrored_class", "view", "augmentation", "origin",
        )
    }  # fmt: skip
    everything = np.arange(len(study.particle_ids))
    return write_study_set(
        folder, study.crops(everything).read(everything), **{**values, **changes}
    )


def test_a_study_set_comes_back_as_it_was_written(study):
    again = read_study_set(study.folder)

    assert again.classes == ["left", "right"]
    assert again.view == study.view
    assert again.augmentation == study.augmentation
    np.testing.assert_array_equal(again.true_labels, study.true_labels)
    assert again.digest == study.digest


def test_crops_are_numbered_by_the_rows_that_were_asked_for(study):
    everything = np.arange(len(study.particle_ids))
    all_crops = study.crops(everything).read(everything)

    some = study.crops(np.array([5, 100, 7]))

    assert len(some) == 3
    np.testing.assert_array_equal(some.read(np.array([2, 0])), all_crops[[7, 5]])


def test_the_digest_is_of_the_content_and_not_of_the_place(study, tmp_path):
    other_labels = study.true_labels.copy()
    other_labels[0] = 0

    assert rewrite(study, tmp_path / "copy").digest == study.digest
    assert rewrite(study, tmp_path / "other", true_labels=other_labels).digest != study.digest


def test_a_class_that_cannot_be_tested_is_refused(study, tmp_path):
    one_handed = np.where(study.groups == TEST, 1, study.true_labels)

    with pytest.raises(SettingsError, match="class 'left' has no particle to test"):
        rewrite(study, tmp_path / "one", true_labels=one_handed)


def test_a_class_that_no_mirror_makes_is_refused(study, tmp_path):
    three = {"classes": ["left", "right", "plate"], "mirrored_class": [1, 0, 2]}

    with pytest.raises(SettingsError, match="class 'plate' has no particle to learn"):
        rewrite(study, tmp_path / "three", **three)


def test_nothing_to_learn_from_is_refused(study, tmp_path):
    groups = np.where(study.groups == LEARN, TEST, study.groups)

    with pytest.raises(SettingsError, match="has no particle to learn"):
        rewrite(study, tmp_path / "none", groups=groups)
