"""Sources to fit on, written where a fit reads them: simulated scenes, and arrays from anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.segmenter.plan import Kind, Source
from pipelines.segmenter.scenes import draw_scene
from pipelines.segmenter.weak_masks import draw_weak_masks


def write_source(
    folder: Path,
    name: str,
    kind: Kind,
    image: NDArray[Any],
    instances: NDArray[Any],
    *,
    confidence: NDArray[np.uint8] | None = None,
    group: str = "",
    pixel_size_nm: float | None = None,
) -> Source:
    """Write one image and its instances into ``folder``; return the source."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {part: folder / f"{name}.{part}.npy" for part in ("image", "instances", "confidence")}
    np.save(paths["image"], image)
    np.save(paths["instances"], instances.astype(np.int32))
    if confidence is not None:
        np.save(paths["confidence"], confidence)
    return Source(
        name,
        kind,
        paths["image"],
        paths["instances"],
        confidence=None if confidence is None else paths["confidence"],
        group=group,
        pixel_size_nm=pixel_size_nm,
    )


def write_scenes(folder: Path, n: int, *, seed: int, on_support: bool = False) -> list[Source]:
    """Draw simulated scenes into ``folder``, unless they are there already."""
    sources = []
    for number in range(n):
        name = f"{'supported' if on_support else 'scene'}-{seed}-{number:05d}"
        image, instances = (folder / f"{name}.{part}.npy" for part in ("image", "instances"))
        if image.exists() and instances.exists():
            sources.append(Source(name, "simulated", image, instances))
            continue
        scene = draw_scene(seed, number, on_support=on_support)
        sources.append(write_source(folder, name, "simulated", scene.image, scene.instances))
    return sources


def write_weak_sources(
    folder: Path, images: Mapping[str, NDArray[Any]], *, groups: Mapping[str, str] | None = None
) -> list[Source]:
    """Mask images by classical methods, and write images, masks and agreement into ``folder``.

    Images in which no method finds anything are left out.
    """
    sources = []
    for name, image in images.items():
        masks = draw_weak_masks(image)
        if masks.instances.any():
            group = (groups or {}).get(name, name)
            sources.append(
                write_source(
                    folder,
                    name,
                    "weak",
                    image,
                    masks.instances,
                    confidence=masks.confidence,
                    group=group,
                )
            )
    return sources
