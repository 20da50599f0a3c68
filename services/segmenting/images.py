"""The images that a segmenter learns from or is judged on: from a folder, or from mosaics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.digests import digest_array
from pipelines.mosaic.ome_zarr import has_instances, open_instances, open_mosaic
from pipelines.mosaic.tiling import blocks
from pipelines.mosaic.truth_folder import TrueImage, read_truth
from pipelines.records import Window

#: Edge of a window of a mosaic, and how many of them are taken of all mosaics together; of each
#: mosaic at least a few.
WINDOW_PX, MOST_WINDOWS, LEAST_PER_MOSAIC = 768, 192, 4
#: Smaller rests at a mosaic's edges are left out, where there is something larger.
LEAST_WINDOW_PX = 96

TRUTH, INSTANCES = "truth", "instances"


@dataclass(frozen=True)
class KnownImage:
    """An image with its instances.

    Attributes
    ----------
    name : str
        Of the image; no two of a set alike.
    group : str
        Images of one group show the same specimen.
    grey : (H, W) array
        Grey values.
    instances : (H, W) array of uint32
        Ids, 0 for background.
    pixel_size_nm : float or None
        Edge of a pixel.
    """

    name: str
    group: str
    grey: NDArray[Any]
    instances: NDArray[np.uint32]
    pixel_size_nm: float | None

    @property
    def digest(self) -> str:
        """What tells its grey values from others."""
        return digest_array(self.grey)

    @classmethod
    def of(cls, image: TrueImage, pixel_size_nm: float | None) -> "KnownImage":
        """Take an image of a folder; a pixel size that the user states counts."""
        size = pixel_size_nm if pixel_size_nm is not None else image.pixel_size_nm
        return cls(image.name, image.name, image.grey, image.instances, size)


def folder_images(folder: Path, pixel_size_nm: float | None) -> Iterator[KnownImage]:
    """Read the images of a folder of images and masks; see `pipelines.mosaic.truth_folder`."""
    for image in read_truth(folder):
        yield KnownImage.of(image, pixel_size_nm)


def mosaic_images(
    archive: Archive, names: Sequence[str], label: str | None = None
) -> Iterator[KnownImage]:
    """Cut windows out of mosaics, spread over each of them.

    Parameters
    ----------
    archive : Archive
        The archive.
    names : sequence of str
        Mosaics.
    label : str, optional
        The instance image to go with them, which they must have; by default none, and
        ``instances`` are all background.
    """
    per_mosaic = max(LEAST_PER_MOSAIC, MOST_WINDOWS // max(len(names), 1))
    for name in names:
        mosaic = open_mosaic(archive.mosaic(name))
        known = open_instances(mosaic.path, label) if label else None
        for window in spread(mosaic.info.shape, per_mosaic):
            ids = known.read(window) if known else np.zeros(window.shape, np.uint32)
            place = f"-y{window.y0}-x{window.x0}" if window.shape != mosaic.info.shape else ""
            yield KnownImage(
                f"{name}{place}", name, mosaic.read(window), ids, mosaic.info.pixel_size_nm
            )


def spread(shape: tuple[int, int], most: int) -> list[Window]:
    """Choose windows spread over an image, not more than ``most``.

    Examples
    --------
    >>> spread((800, 700), 9)
    [Window(y0=0, x0=0, y1=768, x1=700)]
    >>> [window.x0 for window in spread((768, 768 * 8), 3)]
    [0, 2304, 5376]
    """
    windows = blocks(shape, WINDOW_PX)
    large = [window for window in windows if min(window.shape) >= LEAST_WINDOW_PX]
    windows = large or windows
    if len(windows) <= most:
        return windows
    chosen = np.linspace(0, len(windows) - 1, most).astype(int)
    return [windows[i] for i in chosen.tolist()]


def mosaics_with(archive: Archive, names: Sequence[str], label: str) -> list[str]:
    """Return those mosaics that have a published instance image of this name."""
    return [name for name in names if has_instances(archive.mosaic(name), label)]


def renamed(image: KnownImage, kind: str) -> KnownImage:
    """Put the kind before an image's name and group, so that two kinds never share one."""
    return replace(image, name=f"{kind}-{image.name}", group=f"{kind}-{image.group}")
