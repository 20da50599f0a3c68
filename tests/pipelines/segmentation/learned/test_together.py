"""Windows of several mosaics through the network together, against each of them alone."""

import numpy as np

from pipelines.records import Window
from pipelines.segmentation.learned.fields import Grid, predict_window
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.together import View, predict_views
from pipelines.segmentation.look import BatchMethod
from pipelines.segmentation.method import load_method

LEVELS = Normalisation(0.0, 255.0)


class Doubled:
    """A network that says twice what it sees, and remembers how many blocks it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, blocks):
        self.batches.append(len(blocks))
        return np.stack([2 * blocks, blocks], axis=1)


def views(rng):
    """Three windows of two mosaics, of blocks of 32; the last shows no whole block."""
    small, large = Grid((70, 90), 1.0, 32, 8), Grid((200, 200), 0.5, 32, 8)
    windows = [
        (small, Window(0, 0, 70, 90)),
        (large, Window(0, 0, 120, 200)),
        (large, Window(80, 80, 90, 90)),
    ]
    return [
        View(rng.integers(0, 255, window.shape).astype(np.uint8), window, grid, LEVELS)
        for grid, window in windows
    ]


def test_each_window_gets_the_fields_that_it_gets_alone(rng):
    shown = views(rng)

    found = list(predict_views(shown, Doubled(), batch_n_blocks=4))

    assert found[2] is None
    for view, canvas in zip(shown[:2], found[:2], strict=True):
        alone = predict_window(view.image, view.window, view.grid, LEVELS, Doubled())
        assert (canvas.y0, canvas.x0) == (alone.y0, alone.x0)
        assert np.array_equal(canvas.fields, alone.fields)


def test_batches_are_always_full_and_reach_over_windows(rng):
    shown = views(rng)
    n_blocks = [len(view.grid.blocks_within(view.window)) for view in shown]
    network = Doubled()

    list(predict_views(shown, network, batch_n_blocks=6))

    assert n_blocks[0] % 6 != 0
    assert network.batches == [6] * -(-sum(n_blocks) // 6)


def test_a_learned_method_answers_for_several_windows(model):
    assert isinstance(load_method(f"learned:{model}"), BatchMethod)
