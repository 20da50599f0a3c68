"""Simulated lattices for benchmarks of defects, and how detectors do on them."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.defects.catalogue import get_detector
from pipelines.defects.known import KnownDefect, mark
from pipelines.defects.model import fit_detector
from pipelines.defects.patches import Patches, cut, make_patches, plan_grid
from pipelines.defects.protocol import feed, judge
from pipelines.evaluation.anomaly import Estimate, bootstrap_over
from pipelines.randomness import generator
from pipelines.simulation.honeycomb_image import Imaging, simulate_lattice

PATCH_PX, SIZE_PX = 64, 512
#: Share of patches with a defect, as in the published set.
PREVALENCE = 0.014
STRUCTURAL = ("vacancy", "divacancy", "stone-wales")
KINDS = (*STRUCTURAL, "substitution")


def draw(
    n_images: int, *, snr: float, first: int = 0, kinds: Sequence[str] = KINDS,
    prevalence: float = PREVALENCE, seed: int = 11, size_px: int = SIZE_PX,
    stride_px: int = PATCH_PX, **imaging: Any,
) -> tuple[Patches, np.ndarray]:  # fmt: skip
    """Draw images whose kinds come in turn; return their patches and the kind in each."""
    per_image = prevalence * (size_px // PATCH_PX) ** 2
    parts = []
    for i in range(n_images):
        n = round((i + 1) * per_image) - round(i * per_image)
        chosen = [kinds[(round(i * per_image) + k) % len(kinds)] for k in range(n)]
        image = simulate_lattice(
            (size_px, size_px), {kind: chosen.count(kind) for kind in chosen},
            Imaging(snr=snr, **imaging), seed=seed, index=first + i,
        )  # fmt: skip
        origins = plan_grid(image.grey.shape, patch_px=PATCH_PX, stride_px=stride_px)
        known = [KnownDefect("", d.y, d.x, d.radius_px, d.kind) for d in image.defects]
        names = np.repeat(f"image-{first + i:04d}", len(origins))
        pixels = cut(image.grey, origins, PATCH_PX)
        parts.append((pixels, names, origins, *mark(origins, PATCH_PX, known)))
    pixels, names, origins, bad, doubtful, kinds_of = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    patches = make_patches(
        pixels, images=names, origins_yx=origins, is_defect=bad, is_doubtful=doubtful
    )
    return patches, kinds_of


def measure(
    method: str, learn: Patches, test: Patches, kinds: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Fit on some images and score others; say recall by kind, areas and times."""
    detector = get_detector(method)
    begun = time.process_time()
    model = fit_detector(detector, feed(detector, learn), seed=seed)
    fitted = time.process_time()
    scores = judge(detector, model, test)
    scored = time.process_time()
    certain = ~test.is_doubtful

    def estimate(chosen: tuple[str, ...], of: str) -> dict[str, float]:
        own = certain & (~test.is_defect | np.isin(kinds, chosen))
        found = bootstrap_over(
            test.images[own], scores[own], test.is_defect[own],
            lambda curve: curve.recall_at(0.01) if of == "recall" else getattr(curve, of),
            rng=generator(seed, "bench", *chosen, of),
        )  # fmt: skip
        return as_dict(found)

    present = sorted(set(kinds[test.is_defect].tolist()))
    structural = tuple(kind for kind in STRUCTURAL if kind in present)
    return {
        "recall": {kind: estimate((kind,), "recall") for kind in present},
        "n": {kind: int((kinds == kind).sum()) for kind in present},
        "pr_auc": {
            "structural": estimate(structural, "pr_auc"),
            "all": estimate(tuple(present), "pr_auc"),
        },
        "roc_auc": {"structural": estimate(structural, "roc_auc")},
        "fit_s": fitted - begun,
        "patches_per_s": len(test) / (scored - fitted),
    }


def as_dict(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}
