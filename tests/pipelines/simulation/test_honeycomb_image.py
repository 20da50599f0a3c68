import numpy as np
import pytest

from pipelines.simulation.honeycomb import honeycomb
from pipelines.simulation.honeycomb_image import (
    ATOM_GREY,
    Imaging,
    render_lattice,
    simulate_lattice,
)

STILL = {"tilt_rad": 0.0, "drift_share": 0.0, "jitter_px": 0.0, "gradient_share": 0.0}


def test_equal_seeds_give_equal_images_and_others_do_not():
    first = simulate_lattice((64, 64), {"vacancy": 1}, Imaging(), seed=1, index=2)
    again = simulate_lattice((64, 64), {"vacancy": 1}, Imaging(), seed=1, index=2)
    other = simulate_lattice((64, 64), {"vacancy": 1}, Imaging(), seed=1, index=3)

    assert np.array_equal(first.grey, again.grey)
    assert first.defects == again.defects
    assert not np.array_equal(first.grey, other.grey)


@pytest.mark.parametrize("snr", [1.0, 5.0])
def test_noise_is_an_atoms_height_over_the_snr(snr):
    image = simulate_lattice(
        (256, 256), {}, Imaging(snr=snr, shot_share=0.0, **STILL), seed=0, index=0
    )
    clean = simulate_lattice(
        (256, 256), {}, Imaging(snr=1e6, shot_share=0.0, **STILL), seed=0, index=0
    )

    noise = image.grey.astype(float) - clean.grey.astype(float)

    assert noise.std() == pytest.approx(ATOM_GREY / snr, rel=0.02)


def test_shot_noise_is_larger_where_it_is_brighter():
    imaging = Imaging(snr=2.0, shot_share=1.0, **STILL)
    images = [
        simulate_lattice((200, 200), {}, each, seed=0, index=0).grey.astype(float)
        for each in (imaging, Imaging(snr=1e6, shot_share=0.0, **STILL))
    ]

    noise, clean = images[0] - images[1], images[1]
    bright = clean > np.quantile(clean, 0.9)
    dark = clean < np.quantile(clean, 0.1)
    assert noise[bright].std() > 1.1 * noise[dark].std()


@pytest.mark.parametrize(("contrast", "brightest"), [("stem", True), ("phase", False)])
def test_atoms_are_bright_or_dark(contrast, brightest):
    lattice = honeycomb((64, 64), bond_px=9.0, angle_rad=0.1, shift_yx=(0.0, 0.0))

    image = render_lattice(lattice, (64, 64), Imaging(contrast=contrast))

    y, x = np.round(lattice.positions_yx).astype(int).T
    inside = (y >= 0) & (y < 64) & (x >= 0) & (x < 64)
    at_atoms = image[y[inside], x[inside]].mean()
    assert (at_atoms > image.mean()) == brightest


def test_the_truth_moves_with_drift_and_tilt():
    distorted = Imaging(snr=1e3, tilt_rad=0.3, drift_share=0.05)

    image = simulate_lattice((256, 256), {"vacancy": 1}, distorted, seed=3, index=1)

    # A missing atom is the darkest place of a lattice without noise, once it is smoothed a bit.
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.grey.astype(float), 4.0)
    flat = smooth - gaussian_filter(image.grey.astype(float), 15.0)
    y, x = np.unravel_index(flat[10:-10, 10:-10].argmin(), (236, 236))
    (defect,) = image.defects
    assert np.hypot(y + 10 - defect.y, x + 10 - defect.x) < 3


def test_a_grain_boundary_is_listed_along_its_line():
    image = simulate_lattice((128, 128), {}, Imaging(), grain_boundary=True, seed=1, index=5)

    places = np.array([[d.y, d.x] for d in image.defects])
    assert {d.kind for d in image.defects} == {"grain-boundary"}
    centred = places - places.mean(axis=0)
    across = np.linalg.svd(centred, full_matrices=False)[1][1] / np.sqrt(len(places))
    assert len(places) > 3
    assert across < 2.0
