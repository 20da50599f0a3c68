"""Segmentation against plain scripts: speed, F1, memory, stitching, resuming."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.instances import ContingencyCounter, score_instances
from pipelines.mosaic.ome_zarr import open_instances
from pipelines.mosaic.tiling import blocks, plan_tiles
from pipelines.segmentation.painting import paint
from pipelines.segmentation.persistence import SplitRule
from pipelines.segmentation.stitching import stitch
from pipelines.segmentation.tiles import segment_tile
from tests.benchmarks.particles import BLOCK_PX, draw_block, make_archive
from tests.benchmarks.record import Measurement

TILE_PX = 1024


def run(sizes_px: tuple[int, ...] = (16384, 32768)) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        block, truth = draw_block()
        np.save(Path(folder) / "block.npy", block)
        found = []
        for size_px in sizes_px:
            archive = make_archive(Path(folder) / str(size_px), block, size_px)
            found += speed(archive, Path(folder) / "block.npy", size_px)
            if size_px == sizes_px[0]:
                found += quality(archive, block, truth, size_px)
                found += resuming(archive)
            shutil.rmtree(archive.root)
        found += memory(Path(folder), block)
        return found + [stitching(n) for n in (64, 256)]


def speed(archive: Archive, block: Path, size_px: int) -> list[Measurement]:
    """Time the baseline before and after, for the machine may be another by then."""
    before = script_mpx_per_s(block)
    once = segment_once(archive)
    baseline = (before + script_mpx_per_s(block)) / 2
    ours = size_px**2 / 1e6 / once["seconds"]
    return [
        Measurement(
            f"segment {size_px}² past Ray's start, 2 workers, against a scikit-image script",
            f"{ours:.1f} Mpx/s",
            f"{baseline:.1f} Mpx/s",
            ours / baseline,
            "at least",
            2.0 if size_px <= 16384 else 3.0,
        )
    ]


def quality(
    archive: Archive, block: NDArray[np.uint8], truth: NDArray[np.int32], size_px: int
) -> list[Measurement]:
    """Compare with the truth, and with the script's recipe on a whole block without tiles."""
    ours, recipes = ContingencyCounter(), ContingencyCounter()
    recipes.add(truth, recipe(block))
    instances = open_instances(archive.mosaic("drawn"))
    n_cut = 0
    for n, core in enumerate(blocks((size_px, size_px), BLOCK_PX)):
        found = instances.read(core)
        ours.add(np.where(truth > 0, truth + n * int(truth.max()), 0), found)
        n_cut += count_cut(truth, found)
    f1, recipes_f1 = (
        score_instances(counter.contingency(), iou_threshold=0.5).f1 for counter in (ours, recipes)
    )
    return [
        Measurement(
            f"instance F1 (IoU 0.5) at {size_px}², against the script's recipe on a whole image",
            f"{f1:.4f}",
            f"{recipes_f1:.4f}",
            f1 / recipes_f1,
            "at least",
            1.0,
        ),
        Measurement("objects cut at a seam", str(n_cut), "none", float(n_cut), "at most", 0.0),
    ]


def count_cut(truth: NDArray[np.int32], found: NDArray[np.uint32], seam_px: int = 2048) -> int:
    """Count true objects over a seam inside a block that mostly got other ids on its two sides."""
    cut = 0
    for transposed in (False, True):
        (truth_a, truth_b), (found_a, found_b) = (
            (image.T if transposed else image)[seam_px - 1 : seam_px + 1]
            for image in (truth, found)
        )
        for one in np.intersect1d(truth_a[truth_a > 0], truth_b):
            sides = found_a[truth_a == one], found_b[truth_b == one]
            ids = [np.bincount(side[side > 0]).argmax() if side.any() else 0 for side in sides]
            cut += int(min(ids) > 0 and ids[0] != ids[1])
    return cut


def resuming(archive: Archive) -> list[Measurement]:
    """Run the whole command again, when all is done."""
    command = [str(Path(sys.executable).with_name("tessera")), "segment", "--archive"]
    started = time.perf_counter()
    subprocess.run([*command, str(archive.root)], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    return [
        Measurement(
            "segment when all is done, the whole command",
            f"{seconds:.2f} s",
            "2 s",
            seconds / 2,
            "at most",
            1.0,
        )
    ]


def memory(folder: Path, block: NDArray[np.uint8]) -> list[Measurement]:
    """Compare the peaks of resident memory of a mosaic and of one sixteen times as large."""
    peaks = []
    for size_px in (4096, 16384):
        archive = make_archive(folder / f"memory-{size_px}", block, size_px)
        peaks.append(segment_once(archive, "memory"))
        shutil.rmtree(archive.root)
    small, large = peaks
    return [
        Measurement(
            f"peak memory of the {who} at 16384², against 4096²",
            f"{large[f'{who}_mb']:.0f} MB",
            f"{small[f'{who}_mb']:.0f} MB",
            large[f"{who}_mb"] / small[f"{who}_mb"],
            "at most",
            1.25,
        )
        for who in ("driver", "worker")
    ]


def stitching(n_tiles: int, size_px: int = 1024) -> Measurement:
    """Label the connected components of a mask in tiles, from mask to labelled image."""
    import dask
    import dask.array as da
    from dask_image.ndmeasure import label
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    mask = gaussian_filter(rng.normal(size=(size_px, size_px)).astype(np.float32), 3) > 0.02
    edge_px = size_px // int(n_tiles**0.5)

    started = time.perf_counter()
    heights = mask.astype(np.uint16)
    tiles = plan_tiles(mask.shape, core_px=edge_px, halo_px=1)
    rule = SplitRule(0, 0)
    parts = [
        segment_tile(heights[t.window.slices], heights[t.window.slices], t, mask.shape, rule)
        for t in tiles
    ]
    particles = stitch(parts, mask.shape, rule)
    ours = np.empty(mask.shape, np.uint32)
    ids = np.arange(1, len(particles) + 1, dtype=np.uint32)
    for tile, part, segments in zip(tiles, parts, particles.segments, strict=True):
        ours[tile.core.slices] = paint(part, ids[segments])
    seconds = time.perf_counter() - started

    started = time.perf_counter()
    structure = np.ones((3, 3))
    lazy, n_objects = label(da.from_array(mask, chunks=edge_px), structure=structure)
    theirs, n_objects = dask.compute(lazy, n_objects)
    baseline = time.perf_counter() - started

    assert int(n_objects) == len(particles)
    assert np.array_equal(ours > 0, theirs > 0)
    return Measurement(
        f"connected components of {size_px}² in {n_tiles} tiles, one process, against dask_image",
        f"{seconds:.2f} s",
        f"{baseline:.2f} s",
        baseline / seconds,
        "at least",
        10.0,
    )


def segment_once(archive: Archive, *options: str) -> dict[str, Any]:
    """Run the verb in a process of its own, so that nothing is warm."""
    command = [sys.executable, "-m", "tests.benchmarks.segment_once", str(archive.root), *options]
    # Ray's workers would give way to everything else on the machine; the script's do not.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, text=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def script_mpx_per_s(block: Path, n_tiles: int = 64) -> float:
    """Run the plain script on tiles of a block, over and over; nothing is stitched or written."""
    corners = [(y, x) for y in range(0, BLOCK_PX, TILE_PX) for x in range(0, BLOCK_PX, TILE_PX)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(script_tile, [(str(block), *corner) for corner in corners[:2]])
        started = time.perf_counter()
        pool.map(script_tile, [(str(block), *corners[i % 16]) for i in range(n_tiles)], chunksize=1)
        seconds = time.perf_counter() - started
    return n_tiles * TILE_PX**2 / 1e6 / seconds


def script_tile(where: tuple[str, int, int]) -> int:
    """Segment one tile as the plain script does."""
    path, y, x = where
    image = np.load(path, mmap_mode="r")[y : y + TILE_PX, x : x + TILE_PX]
    return int(recipe(np.asarray(image)).max())


def recipe(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Do what a plain scikit-image script does."""
    from scipy.ndimage import distance_transform_edt
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.segmentation import watershed

    smoothed = gaussian(image, 1.5)
    mask = smoothed > threshold_otsu(smoothed)
    distance = distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=15, labels=mask.astype(int))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labelled: NDArray[np.int32] = watershed(-distance, markers, mask=mask)
    return labelled
