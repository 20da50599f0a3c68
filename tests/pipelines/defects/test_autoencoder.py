from dataclasses import replace

import numpy as np
import pytest

from pipelines.defects.methods.conv_autoencoder import DETECTOR, log_density


def test_the_autoencoder_draws_a_clean_lattice_again(make_lattice):
    """Before it may call anything odd: a peak signal-to-noise ratio of more than 25 dB."""
    patches, _ = make_lattice(2, {}, snr=50.0, seed=14)
    corners = patches.with_pixels(patches.pixels[:, :32, :32])
    learn = corners.take(corners.images == "image-0")
    unseen = corners.take(corners.images == "image-1")

    model = replace(DETECTOR, n_steps=250).fit(learn, seed=0)
    shown, drawn = DETECTOR.draw(model, unseen.pixels)

    error = ((shown - drawn) ** 2).mean()
    assert 10 * np.log10(np.ptp(shown) ** 2 / error) > 25


def test_a_density_worked_by_hand():
    known = np.array([[0.0], [2.0]])

    found = log_density(np.array([[0.0], [1.0]]), known, width=1.0)

    assert found.tolist() == pytest.approx([np.log(1 + np.exp(-2)), np.log(2 * np.exp(-0.5))])


def test_a_code_does_not_count_for_itself():
    known = np.array([[0.0], [1.0]])

    found = log_density(known, known, width=1.0, skip_self=True)

    assert found.tolist() == pytest.approx([-0.5, -0.5])
