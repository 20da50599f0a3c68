"""May a segmenter take the place of the one in use? Both look at the same outlined images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.instances import count_shared_pixels, score_instances
from pipelines.randomness import generator
from services.nightly.gate import Comparison

#: What the set that decides is called.
OUTLINED = "outlined"
#: Objects of one image go wrong together, and an interval over fewer images means nothing.
LEAST_IMAGES = 5
N_RESAMPLES = 2000

Instances = NDArray[np.uint32]


def compare_segmenters(
    truth: Sequence[Instances],
    candidate: Sequence[Instances],
    champion: Sequence[Instances],
    *,
    seed: int,
) -> Comparison:
    """Compare F1 at an IoU above 0.5, pooled over images, by a paired bootstrap over images.

    Parameters
    ----------
    truth, candidate, champion : sequence of (H, W) arrays of uint32
        Instance ids of every image, 0 for background: drawn, and as either found them.
    seed : int
        Of the bootstrap.

    Returns
    -------
    comparison : Comparison
        ``n_particles`` counts objects that were drawn.
    """
    counts = {
        who: np.array([_count(*pair) for pair in zip(truth, found, strict=True)]).reshape(-1, 2)
        for who, found in (("candidate", candidate), ("champion", champion))
    }
    rng = generator(seed, "gate", OUTLINED)
    drawn = rng.integers(0, len(truth), (N_RESAMPLES, len(truth)))
    scores = {who: _f1(rows.sum(axis=0)) for who, rows in counts.items()}
    again = {who: _f1(rows[drawn].sum(axis=1)) for who, rows in counts.items()}
    low, high = np.quantile(again["candidate"] - again["champion"], (0.025, 0.975))
    return Comparison(
        name=OUTLINED,
        n_particles=sum(len(np.unique(ids[ids > 0])) for ids in truth),
        n_classes=1,
        candidate=float(scores["candidate"]),
        champion=float(scores["champion"]),
        difference=float(scores["candidate"] - scores["champion"]),
        low=float(low),
        high=float(high),
    )


def _count(truth: Instances, found: Instances) -> tuple[int, int]:
    """Return how many objects match, and how many there are on both sides together."""
    score = score_instances(count_shared_pixels(truth, found), iou_threshold=0.5)
    return score.n_matched, score.n_truth + score.n_found


def _f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 2 x matched / all; 1 where there is nothing and nothing was found."""
    matched, objects = counts[..., 0], counts[..., 1]
    return np.where(objects > 0, 2 * matched / np.maximum(objects, 1), 1.0)
