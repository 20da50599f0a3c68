"""How well a segmenter finds the objects of several images: pooled, and image by image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.instances import count_shared_pixels, score_instances


@dataclass(frozen=True)
class Scores:
    """Scores over several images.

    Attributes
    ----------
    f1_50, f1_75, pq : float
        F1 at an IoU above 0.5 and 0.75, and panoptic quality, over the objects of all images
        together; nan without any.
    f1_50_median, f1_75_median, pq_median : float
        Medians over images.
    n_truth, n_found, n_split, n_merged : int
        Objects that are there and that were found; true ones found in pieces; found ones that
        hold several.
    per_image : tuple of float
        F1 at an IoU above 0.5 of every image.
    """

    f1_50: float
    f1_75: float
    pq: float
    f1_50_median: float
    f1_75_median: float
    pq_median: float
    n_truth: int
    n_found: int
    n_split: int
    n_merged: int
    per_image: tuple[float, ...]


def score_pairs(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> Scores:
    """Score pairs of true and found instance maps.

    An image without objects in which none was found scores 1.
    """
    at_50, at_75 = [], []
    for truth, found in pairs:
        contingency = count_shared_pixels(truth, found)
        at_50.append(score_instances(contingency, iou_threshold=0.5))
        at_75.append(score_instances(contingency, iou_threshold=0.75))
    n_truth = sum(s.n_truth for s in at_50)
    n_found = sum(s.n_found for s in at_50)
    iou = sum(s.mean_matched_iou * s.n_matched for s in at_50 if s.n_matched)
    objects = max(n_truth + n_found, 1)
    each_50 = [1.0 if np.isnan(s.f1) else s.f1 for s in at_50]
    each_75 = [1.0 if np.isnan(s.f1) else s.f1 for s in at_75]
    each_pq = [1.0 if s.n_truth + s.n_found == 0 else s.panoptic_quality for s in at_50]
    return Scores(
        f1_50=2 * sum(s.n_matched for s in at_50) / objects,
        f1_75=2 * sum(s.n_matched for s in at_75) / objects,
        pq=2 * iou / objects,
        f1_50_median=float(np.median(each_50)) if each_50 else float("nan"),
        f1_75_median=float(np.median(each_75)) if each_75 else float("nan"),
        pq_median=float(np.median(each_pq)) if each_pq else float("nan"),
        n_truth=n_truth,
        n_found=n_found,
        n_split=sum(s.n_split for s in at_50),
        n_merged=sum(s.n_merged for s in at_50),
        per_image=tuple(each_50),
    )
