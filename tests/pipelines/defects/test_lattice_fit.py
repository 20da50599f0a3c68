import numpy as np
import pytest

from pipelines.defects.lattice_fit import find_waves, reconstruct


def waves_image(shape, frequencies, *, noise=0.0, seed=0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = sum(np.cos(2 * np.pi * (fy * y + fx * x) + i) for i, (fy, fx) in enumerate(frequencies))
    return (image + noise * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


PAIR = [(0.031, 0.09), (0.11, -0.013)]


@pytest.mark.parametrize("shape", [(64, 64), (256, 300)])
def test_waves_are_found_between_the_samples_of_the_spectrum(shape):
    image = waves_image(shape, PAIR, noise=0.5)

    found = find_waves(image[None]).frequencies_yx

    for fy, fx in PAIR:
        # One of each pair of opposite frequencies is listed.
        distance = [min(np.hypot(a - fy, b - fx), np.hypot(a + fy, b + fx)) for a, b in found]
        assert min(distance) < 0.1 / min(shape)


def test_noise_alone_has_no_waves(rng):
    noise = rng.normal(size=(1, 256, 256)).astype(np.float32)

    assert len(find_waves(noise).frequencies_yx) == 0


def test_a_wave_image_is_drawn_exactly_up_to_its_edge():
    image = waves_image((150, 170), PAIR)[None]

    drawn = reconstruct(image, find_waves(image))

    assert np.abs(drawn - image).max() < 0.05 * np.abs(image).max()


def test_uneven_light_and_slow_drift_are_followed():
    y, x = np.mgrid[:200, :200]
    light = 1 + 0.3 * x / 200
    image = (light * np.cos(2 * np.pi * 0.1 * (x + 0.8 * np.sin(y / 60))))[None].astype(np.float32)

    left = image - reconstruct(image, find_waves(image))

    assert left.std() < 0.03 * image.std()


def test_noise_is_left_over():
    clean = waves_image((200, 200), PAIR)
    noisy = waves_image((200, 200), PAIR, noise=1.0)[None]

    left = noisy - reconstruct(noisy, find_waves(noisy))

    assert left.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(left.ravel(), clean.ravel())[0, 1] == pytest.approx(0, abs=0.03)


def test_a_window_gives_the_same_as_the_whole():
    image = waves_image((300, 340), PAIR, noise=1.0)[None]
    waves = find_waves(image)
    whole = reconstruct(image, waves)

    part = reconstruct(image[:, 60:280, 90:330], waves, origin_yx=(60, 90), shape=(300, 340))

    edge = waves.block_px
    inner = (slice(None), slice(edge, -edge), slice(edge, -edge))
    assert np.allclose(part[inner], whole[:, 60:280, 90:330][inner], atol=1e-4)
