import numpy as np
import pytest

from pipelines.segmenter.augmentation import Placement, change_contrast, cut_patch, paste_objects


@pytest.mark.parametrize("turn_deg", [0, 30, 90, 205])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.9])
def test_image_and_objects_move_together(scene, turn_deg, mirrored, scale):
    image = scene((120, 120), (60, 55), scale=6)
    ids = (image > 100).astype(np.int32)
    place = Placement((58.0, 57.0), scale, np.radians(turn_deg), mirrored)

    grey = cut_patch(image.astype(np.float32), place, 64, smooth=True)
    objects = cut_patch(ids, place, 64, smooth=False)

    assert objects.any()
    # They differ only where interpolation mixes object and background.
    assert ((grey > 120) != (objects > 0)).mean() < 0.04


@pytest.mark.parametrize("turn_deg", [0, 90, 250])
def test_only_a_mirrored_patch_changes_hands(scene, hand, turn_deg):
    image = scene((120, 120), (60, 60), scale=5).astype(np.float32)
    plain, mirrored = (
        cut_patch(image, Placement((60, 60), 1.0, np.radians(turn_deg), flag), 64, smooth=True)
        for flag in (False, True)
    )

    assert hand(plain) == hand(image[28:92, 28:92])
    assert hand(mirrored) == -hand(plain)


def test_a_patch_as_it_lies_is_the_image_itself(rng):
    image = rng.random((50, 60)).astype(np.float32)

    patch = cut_patch(image, Placement((20.5, 30.5), 1.0), 16, smooth=True)

    assert patch == pytest.approx(image[13:29, 23:39], abs=1e-5)


def test_beyond_the_image_there_is_no_object():
    ids = np.ones((20, 20), np.int32)

    patch = cut_patch(ids, Placement((0.0, 10.0), 1.0), 16, smooth=False)

    assert not patch[:6].any()
    assert patch[10:].all()


def test_contrast_changes_and_stays_within_its_limits(rng):
    patch = rng.uniform(-1, 1, (32, 32)).astype(np.float32)

    found = [change_contrast(patch, polarity_free=True, rng=rng) for _ in range(20)]

    assert all(np.abs(f).max() <= 2 for f in found)
    signs = {np.sign(np.corrcoef(f.ravel(), patch.ravel())[0, 1]) for f in found}
    assert signs == {-1.0, 1.0}


def test_polarity_is_kept_where_it_must_be(rng):
    patch = np.linspace(-1, 1, 32 * 32, dtype=np.float32).reshape(32, 32)

    found = [change_contrast(patch, polarity_free=False, rng=rng) for _ in range(20)]

    low, high = np.s_[:8], np.s_[24:]
    brighter = [np.median(f[high]) > np.median(f[low]) for f in found]
    assert sum(brighter) >= 18


def test_pasted_objects_bring_their_grey_levels_and_ids_of_their_own(rng):
    image, ids = np.zeros((20, 20), np.float32), np.zeros((20, 20), np.int32)
    ids[1:4, 1:4] = 5
    donor, donor_ids = np.ones((20, 20), np.float32), np.zeros((20, 20), np.int32)
    donor_ids[8:16, 8:16] = 3
    donor_ids[0:5, 15:20] = 4

    grey, merged = paste_objects(image, ids, donor, donor_ids, n=5, rng=rng)

    # The one at the border is not whole.
    assert set(np.unique(merged)) == {0, 5, 8}
    assert (merged[8:16, 8:16] == 8).all()
    assert grey[12, 12] == 1
    assert grey[2, 17] == 0
