"""How fast the slim network gives heights to a mosaic, on one core."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.learned.fields import BLOCK_PX, Grid, predict_window
from pipelines.segmentation.learned.heights import drop_unsure, field_heights
from pipelines.segmentation.learned.network import build_network, describe_network
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.predictor import FieldPredictor
from tests.benchmarks.record import Measurement


def run() -> list[Measurement]:
    """Time the slim network on one core: blocks, overlap, resampling, heights and all."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    network = build_network(describe_network("slim", local_contrast=True)).eval()
    predict = FieldPredictor(network, torch.device("cpu"))
    blocks = np.random.default_rng(0).normal(0, 0.3, (16, BLOCK_PX, BLOCK_PX)).astype(np.float32)
    image = np.random.default_rng(1).integers(0, 255, (2048, 2048)).astype(np.uint8)
    bare = min(cpu_seconds(lambda: [predict(block[None]) for block in blocks]) for _ in range(3))
    whole = min(cpu_seconds(lambda: see(image, predict)) for _ in range(3))
    bare_rate, rate = blocks.size / bare / 1e6, image.size / whole / 1e6
    return [
        Measurement(
            "slim segmenter, heights of a mosaic at the working scale, against 2 Mpx/s of a core",
            f"{rate:.2f} Mpx/s",
            f"{bare_rate:.2f} Mpx/s without overlap",
            rate / 2.0,
            "at least",
            1.0,
        )
    ]


def see(image: NDArray[Any], predict: FieldPredictor) -> NDArray[np.uint16]:
    height, width = image.shape
    window, grid = Window(0, 0, height, width), Grid((height, width), 1.0)
    canvas = predict_window(image, window, grid, Normalisation(0.0, 255.0), predict)
    foreground, depth = replace(canvas, fields=drop_unsure(canvas.fields)).over(window)[:2]
    return field_heights(foreground, depth)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return processor time: whatever else the machine does adds nothing to it."""
    started = time.process_time()
    work()
    return time.process_time() - started
