"""What a segmenter finds in images of known truth, in counts that can be pooled later."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.segmentation.learned.images import Segmenter
from pipelines.segmentation.learned.widths import instance_areas, typical_width_px
from pipelines.segmenter.scores import Scores, score_pairs
from tests.benchmarks.segmenter_sets import Picture, boxes_of, match_boxes


def measure(model: Path, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Score a model on images, with the width of objects estimated, and as the truth has it."""
    segmenter = Segmenter.open(model, torch.device("cpu"))
    started = time.process_time()
    estimated = [segmenter.segment(p.image) for p in pictures]
    seconds = time.process_time() - started
    given = [
        segmenter.segment(p.image, width_px=typical_width_px(instance_areas(p.instances)))
        for p in pictures
    ]
    return {
        "images": [p.name for p in pictures],
        "stained": [p.stained for p in pictures],
        "estimated": [counts(p, found) for p, found in zip(pictures, estimated, strict=True)],
        "given": [counts(p, found) for p, found in zip(pictures, given, strict=True)],
        "cpu_s": seconds,
    }


def counts(picture: Picture, found: NDArray[np.int32]) -> dict[str, Any]:
    """Say of one image what can be pooled later."""
    return plain(score_pairs([(picture.instances, found)]))


def plain(s: Scores) -> dict[str, Any]:
    objects = s.n_truth + s.n_found
    return {
        "n_truth": s.n_truth,
        "n_found": s.n_found,
        "matched_50": round(s.f1_50 * objects / 2),
        "matched_75": round(s.f1_75 * objects / 2),
        "iou": s.pq * objects / 2,
        "n_split": s.n_split,
        "n_merged": s.n_merged,
    }


def box_counts(picture: Picture, found: NDArray[np.int32]) -> dict[str, Any]:
    boxes = boxes_of(found)
    matched = match_boxes(picture.boxes, boxes)
    return {"n_truth": len(picture.boxes), "n_found": len(boxes), "matched_50": matched}


def pooled(scored: Sequence[Mapping[str, Any]]) -> str:
    truth, found = (sum(s[key] for s in scored) for key in ("n_truth", "n_found"))
    matched = sum(s["matched_50"] for s in scored)
    each = [2 * s["matched_50"] / max(s["n_truth"] + s["n_found"], 1) for s in scored]
    return f"F1 {2 * matched / max(truth + found, 1):.3f} median {np.median(each):.3f}"
