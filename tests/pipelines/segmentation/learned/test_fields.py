import numpy as np
import pytest
import torch

from pipelines.records import Window
from pipelines.segmentation.learned.fields import Grid, predict_window
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.predictor import FieldPredictor

LEVELS = Normalisation(0.0, 255.0)


def as_they_are(blocks):
    """A network that says of each pixel its grey value."""
    return blocks[:, None]


def texture(shape, seed=3):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("factor", [1.0, 0.37, 1.4])
@pytest.mark.parametrize(
    "core", [Window(0, 0, 64, 64), Window(128, 192, 192, 256), Window(192, 256, 230, 310)]
)
def test_fields_do_not_depend_on_the_window_to_the_last_bit(network, factor, core):
    image = texture((230, 310))
    grid = Grid(image.shape, factor, block_px=64, overlap_px=16)
    predict = FieldPredictor(network, torch.device("cpu"))
    whole = Window(0, 0, *image.shape)
    expected = predict_window(image, whole, grid, LEVELS, predict).over(whole)

    window = core.grown(grid.reach_px(), image.shape)
    found = predict_window(image[window.slices], window, grid, LEVELS, predict).over(window)

    inside = np.s_[:, core.y0 - window.y0 : core.y1 - window.y0]
    inside += (slice(core.x0 - window.x0, core.x1 - window.x0),)
    assert np.array_equal(found[inside], expected[(slice(None), *core.slices)])


@pytest.mark.parametrize("shape", [(20, 31), (64, 64), (65, 200), (150, 97)])
@pytest.mark.parametrize("factor", [1.0, 0.4, 1.5])
def test_blocks_cover_the_mosaic_with_weights_that_sum_to_one(shape, factor):
    grid = Grid(shape, factor, block_px=64, overlap_px=16)
    window = Window(0, 0, *shape)

    canvas = predict_window(np.full(shape, 255, np.uint8), window, grid, LEVELS, as_they_are)

    assert canvas.over(window) == pytest.approx(np.ones((1, *shape)), abs=1e-5)


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.31, 1.3])
def test_what_is_seen_at_the_working_scale_comes_back_to_where_it_was(factor):
    y, x = np.mgrid[:180, :200]
    image = (100 + 80 * np.sin(y / 25) * np.cos(x / 31)).astype(np.uint8)
    grid = Grid(image.shape, factor, block_px=64, overlap_px=16)
    window = Window(0, 0, *image.shape)

    found = predict_window(image, window, grid, LEVELS, as_they_are).over(window)[0]

    # At the border what is mirrored there is mixed in.
    away = np.abs((found + 1) * 127.5 - image)[8:-8, 8:-8]
    assert away.max() < 4


def test_a_glyph_is_not_mirrored(scene, hand):
    image = scene((200, 200), (100, 100), scale=8, angle_deg=20)
    grid = Grid(image.shape, 0.6, block_px=64, overlap_px=16)
    window = Window(0, 0, 200, 200)

    found = predict_window(image, window, grid, LEVELS, as_they_are).over(window)[0]

    assert hand(found[52:148, 52:148]) == hand(image[52:148, 52:148])


def test_a_batch_is_always_equally_large():
    sizes = []

    def predict(blocks):
        sizes.append(len(blocks))
        return blocks[:, None]

    grid = Grid((200, 200), 1.0, block_px=64, overlap_px=16)
    image = np.zeros((200, 200), np.uint8)
    predict_window(image, Window(0, 0, 200, 200), grid, LEVELS, predict, batch_n_blocks=7)

    assert set(sizes) == {7}


def test_a_window_that_holds_no_block_has_no_fields():
    grid = Grid((500, 500), 1.0, block_px=64, overlap_px=16)
    window = Window(200, 200, 230, 230)

    assert predict_window(np.zeros((30, 30), np.uint8), window, grid, LEVELS, as_they_are) is None
