import numpy as np
import pytest

from pipelines.segmenter.box_masks import draw_box_masks
from pipelines.segmenter.scores import score_pairs
from pipelines.segmenter.weak_masks import RECIPES, draw_weak_masks, segment_by, split_mask


@pytest.mark.parametrize("bright", [True, False])
def test_the_polarity_is_found_by_shape(discs, bright):
    image, ids = discs(1)

    found = draw_weak_masks(image if bright else 255 - image)

    assert found.bright is bright
    assert score_pairs([(ids, found.instances)]).f1_50 > 0.9


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_finds_plain_discs(discs, recipe):
    image, ids = discs(2)

    assert score_pairs([(ids, segment_by(recipe, image))]).f1_50 > 0.85


def test_recipes_agree_inside_objects_and_less_on_their_outlines(discs):
    from pipelines.segmenter.targets import find_rim

    image, ids = discs(1)

    confidence = draw_weak_masks(image).confidence

    rim = find_rim(ids)
    assert confidence[(ids > 0) & ~rim].min() == 255
    assert confidence[rim].min() < 100


def test_what_is_not_solid_is_hardly_believed():
    image = np.full((120, 120), 20, np.uint8)
    y, x = np.mgrid[:120, :120]
    image[np.hypot(y - 35, x - 35) < 14] = 200
    away = np.hypot(y - 95, x - 80)
    image[(away > 16) & (away < 25) & (y < 95)] = 200

    found = draw_weak_masks(image)

    assert found.confidence[35, 35] == 255
    assert found.instances[75, 80] == found.instances[90, 60] > 0
    assert found.confidence[75, 80] < 60


def test_a_flat_image_has_no_mask():
    assert not draw_weak_masks(np.full((40, 40), 9, np.uint8)).instances.any()


def test_holes_in_objects_are_filled_and_necks_part():
    mask = np.zeros((30, 60), bool)
    y, x = np.mgrid[:30, :60]
    mask |= (y - 15) ** 2 + (x - 15) ** 2 < 100
    mask |= (y - 15) ** 2 + (x - 34) ** 2 < 100
    mask[14:16, 14:16] = False

    found = split_mask(mask)

    assert found.max() == 2
    assert found[15, 15] != found[15, 34]
    assert found[14, 14] > 0


def test_a_box_becomes_what_stands_out_in_it():
    image = np.full((40, 40), 50, np.uint8)
    y, x = np.mgrid[:40, :40]
    disc = (y - 20) ** 2 + (x - 18) ** 2 < 64
    image[disc] = 200

    instances, confidence = draw_box_masks(image, [(12, 10, 28.5, 26.5)])

    assert ((instances > 0) == disc).mean() > 0.98
    assert confidence[20, 18] == 255
    assert confidence[20, 26] < confidence[0, 0] < 255


def test_a_box_in_which_nothing_stands_out_is_an_ellipse(rng):
    image = rng.integers(90, 110, (40, 40)).astype(np.uint8)

    instances, _ = draw_box_masks(image, [(10, 10, 30, 30)])

    assert (instances > 0).sum() == pytest.approx(np.pi * 100, rel=0.05)


def test_a_small_box_lies_above_a_large_one():
    instances, _ = draw_box_masks(np.zeros((40, 40), np.uint8), [(15, 15, 25, 25), (5, 5, 35, 35)])

    assert instances[20, 20] != instances[8, 20]
    assert instances[8, 20] > 0
