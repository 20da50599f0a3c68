import math

import numpy as np
import pytest
import torch

from pipelines.training.augmentation import (
    Augmentation,
    augment,
    averaging_angles,
    draw_uniforms,
    margin,
    noise_bank,
    resample,
)

CPU = torch.device("cpu")
STRONG = Augmentation(
    any_rotation=True, tilt_deg=20, shift=0.1, zoom=0.3, noise=0.3, blur=1.0, cut_out=0.3
)


def glyphs(scene, n, size_px=96):
    picture = scene((size_px, size_px), (size_px / 2 - 0.5, size_px / 2 - 0.5)).astype(np.float32)
    return torch.from_numpy(picture / 110 - 1).expand(n, 1, -1, -1).contiguous()


@pytest.mark.parametrize("any_rotation", [True, False])
def test_augmentation_never_changes_the_hand(scene, hand, any_rotation):
    mild = Augmentation(any_rotation=any_rotation, shift=0.05, zoom=0.2, noise=0.2, blur=1.0)
    crops = glyphs(scene, 64)
    uniforms = draw_uniforms(np.arange(64), seed=0, epoch=0)

    images = augment(crops, uniforms, mild, input_px=56, noise=noise_bank(0, CPU))
    mirrored = augment(crops.flip(-1), uniforms, mild, input_px=56, noise=noise_bank(0, CPU))

    assert {hand(image[0].numpy()) for image in images} == {1}
    assert {hand(image[0].numpy()) for image in mirrored} == {-1}


def test_without_rotation_crops_stand_upright_or_upside_down():
    crops = torch.zeros(200, 1, 33, 33)
    crops[:, :, :8] = 1  # a bright top
    still = Augmentation(tilt_deg=0, shift=0, zoom=0, contrast=0, brightness=0, gamma=0,
                         blur=0, noise=0)  # fmt: skip

    images = augment(
        crops, draw_uniforms(np.arange(200), seed=0, epoch=0), still, input_px=33,
        noise=noise_bank(0, CPU),
    )  # fmt: skip

    is_up = images[:, 0, :4].mean(dim=(1, 2)) > 0.9
    is_down = images[:, 0, -4:].mean(dim=(1, 2)) > 0.9
    assert (is_up ^ is_down).all()
    assert 70 < int(is_up.sum()) < 130


def test_a_sample_is_changed_alike_in_any_batch_and_otherwise_in_the_next_epoch(scene):
    crops = glyphs(scene, 6)
    keys = np.array([11, 12, 13, 14, 15, 16])
    bank = noise_bank(5, CPU)

    def change(which, **when):
        uniforms = draw_uniforms(keys[which], seed=5, **when)
        return augment(crops[which], uniforms, STRONG, input_px=48, noise=bank)

    together = change([0, 1, 2, 3, 4, 5], epoch=2)
    apart = torch.cat([change([3, 0], epoch=2), change([5], epoch=2)])

    torch.testing.assert_close(apart, together[[3, 0, 5]], rtol=0, atol=1e-6)
    assert not torch.allclose(change([0], epoch=3), together[:1])
    assert not torch.allclose(change([0], epoch=2, view=1), together[:1])
    assert not torch.allclose(together[0], together[1])


def test_uniforms_are_uniform_and_independent():
    uniforms = draw_uniforms(np.arange(5000), seed=1, epoch=1)

    assert uniforms.shape == (5000, 16)
    assert 0 <= uniforms.min() < uniforms.max() < 1
    np.testing.assert_allclose(uniforms.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(uniforms.std(axis=0), math.sqrt(1 / 12), atol=0.01)
    assert np.abs(np.corrcoef(uniforms.T) - np.eye(16)).max() < 0.07


def test_nothing_to_change_cuts_the_middle():
    crops = torch.arange(100.0).reshape(1, 1, 10, 10)
    angles, ones, zeros = torch.zeros(1), torch.ones(1), torch.zeros(1, 2)

    images = resample(crops, angles, ones, zeros, input_px=6)

    torch.testing.assert_close(images, crops[:, :, 2:8, 2:8])


def test_angles_turn_the_way_that_crops_are_turned():
    crops = torch.zeros(1, 1, 11, 11)
    crops[0, 0, 5, 9] = 1  # to the right of the centre: +90 degrees from down

    images = resample(
        crops, torch.tensor([math.pi / 2]), torch.ones(1), torch.zeros(1, 2), input_px=11
    )

    assert images[0, 0, 9, 5] == pytest.approx(1, abs=1e-5)


def test_the_margin_holds_the_corners_of_every_rotation():
    everything = Augmentation(any_rotation=True, tilt_deg=0, shift=0, zoom=0)
    input_px = 20
    read_px = input_px + 2 * math.ceil(input_px * (margin(everything) - 1) / 2)
    crops = torch.zeros(90, 1, read_px, read_px)
    crops[:, :, [0, -1]] = 1  # a frame that no corner may touch
    crops[:, :, :, [0, -1]] = 1

    angles = torch.linspace(0, 2 * math.pi, 90)
    images = resample(crops, angles, torch.ones(90), torch.zeros(90, 2), input_px=input_px)

    assert images.max() < 1


@pytest.mark.parametrize("n", [1, 2, 4, 8])
@pytest.mark.parametrize("any_rotation", [True, False])
def test_averaging_takes_every_angle_with_its_opposite(n, any_rotation):
    angles = averaging_angles(n, any_rotation=any_rotation)

    turns = sorted(round(a / (2 * math.pi) % 1, 9) % 1 for a in angles)
    opposite = sorted(round(-a / (2 * math.pi) % 1, 9) % 1 for a in angles)
    assert len(set(turns)) == n
    assert turns == pytest.approx(opposite)
    assert 0 in turns or not any_rotation


def test_an_odd_number_of_rotations_is_refused():
    with pytest.raises(ValueError, match="1, 2, 4 or 8, got 3"):
        averaging_angles(3, any_rotation=True)


def test_cut_out_blanks_no_more_than_its_share():
    crops = torch.ones(50, 1, 40, 40)
    only = Augmentation(tilt_deg=0, shift=0, zoom=0, contrast=0, brightness=0, gamma=0,
                        blur=0, noise=0, cut_out=0.5)  # fmt: skip

    images = augment(
        crops, draw_uniforms(np.arange(50), seed=0, epoch=0), only, input_px=40,
        noise=noise_bank(0, CPU),
    )  # fmt: skip

    blanked = (images == 0).float().mean(dim=(1, 2, 3))
    assert 0 < blanked.max() <= 0.5**2
    assert ((images == 0) | (images > 0.999)).all()
