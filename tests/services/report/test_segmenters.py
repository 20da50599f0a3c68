import numpy as np

from pipelines.evaluation.drawing import rgb
from services.report.segmenters import COLOURS, MATCHED, MISSED, WRONG, compare_layer

TRUTH = np.zeros((12, 30), np.uint32)
TRUTH[2:10, 1:9], TRUTH[2:10, 11:19], TRUTH[2:10, 21:29] = 1, 2, 3
FOUND = np.zeros_like(TRUTH)
# As drawn; half of what was drawn and more beside it; nothing.
FOUND[2:10, 1:9], FOUND[2:10, 15:20] = 7, 8


def colour_at(layer, y, x):
    return tuple(layer[y, x, :3].tolist()) if layer[y, x, 3] else None


def test_outlines_tell_what_was_found_found_wrong_and_missed():
    layer = compare_layer(TRUTH, FOUND)

    assert colour_at(layer, 2, 1) == rgb(COLOURS[MATCHED])
    assert colour_at(layer, 5, 15) == rgb(COLOURS[WRONG])
    assert colour_at(layer, 5, 11) == rgb(COLOURS[MISSED])
    assert colour_at(layer, 5, 21) == rgb(COLOURS[MISSED])
    # Inside objects and outside of them the image is seen.
    assert colour_at(layer, 5, 5) is None
    assert colour_at(layer, 0, 0) is None
