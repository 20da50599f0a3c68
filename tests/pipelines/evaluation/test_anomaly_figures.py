import numpy as np

from pipelines.evaluation.anomaly import score_curve
from pipelines.evaluation.anomaly_figures import curves, image_scores, split_gap


def texts(figure):
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}


def test_curves_name_every_detector(rng):
    truth = np.arange(50) < 5
    found = {name: score_curve(rng.normal(size=50) + truth, truth) for name in ("one", "two")}

    figure = curves(found, prevalence=0.1)

    assert {"one", "two", "precision", "false positive rate"} <= texts(figure)


def test_the_gap_shows_both_splits_of_every_detector():
    figure = split_gap(["one", "two"], [(0.3, 0.2, 0.4), (0.5, np.nan, np.nan)], [0.9, 0.5],
                       prevalence=0.01)  # fmt: skip

    (axes,) = figure.axes
    points = [sorted(scatter.get_offsets()[:, 0].tolist()) for scatter in axes.collections]
    assert [0.3, 0.5] in points
    assert [0.5, 0.9] in points


def test_every_image_has_a_row(rng):
    scores = [rng.normal(size=9), rng.normal(size=4)]
    bad = [np.arange(9) == 3, np.zeros(4, bool)]

    figure = image_scores(["first", "second"], scores, bad, threshold=2.0)

    assert {"first", "second"} <= texts(figure)
