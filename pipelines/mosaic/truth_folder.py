"""A folder of images whose objects somebody outlined: ``images`` beside ``labels``, by stem."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import digest_array
from pipelines.errors import MosaicError, SettingsError
from pipelines.mosaic.conversion import open_image
from pipelines.mosaic.grey import plan_grey
from pipelines.mosaic.orientation import show
from pipelines.mosaic.sources import Source, file_stem, find_sources
from pipelines.mosaic.truth import as_ids, refuse_colours, refuse_mask
from pipelines.records import Window

IMAGES = "images"
#: What the folder of instance maps may be called.
MAPS = ("labels", "segmaps", "masks")
#: With fewer, nothing can be said of images that were not learned from.
LEAST_IMAGES = 2


@dataclass(frozen=True)
class TrueImage:
    """An image with its instance map.

    Attributes
    ----------
    name : str
        The files' stem, with what is not allowed in a mosaic's name replaced.
    grey : (H, W) array of uint8, uint16 or float32
        Grey values.
    instances : (H, W) array of uint32
        Ids, 0 for background.
    pixel_size_nm : float or None
        What the image's file says of it.
    """

    name: str
    grey: NDArray[Any]
    instances: NDArray[np.uint32]
    pixel_size_nm: float | None

    @property
    def digests(self) -> tuple[str, str]:
        """Digests of image and map."""
        return digest_array(self.grey), digest_array(self.instances)

    @property
    def diameters_px(self) -> NDArray[np.float64]:
        """Diameters of the discs of equal area, one for each object."""
        _, areas = np.unique(self.instances[self.instances > 0], return_counts=True)
        return np.asarray(np.sqrt(4 / np.pi * areas), dtype=np.float64)


def pair_truth(folder: Path, flag: str = "--truth") -> list[tuple[Source, Path]]:
    """Pair the images of a folder with their instance maps; nothing is read yet.

    Parameters
    ----------
    folder : Path
        Holds ``images`` and one of `MAPS`, with files of equal stems.
    flag : str
        What the caller called it, for errors.

    Raises
    ------
    SettingsError
        If a folder is missing, no map fits, or fewer than `LEAST_IMAGES` images have one.
    """
    if not folder.is_dir():
        raise SettingsError(f"{flag}: folder {folder} does not exist")
    if not (folder / IMAGES).is_dir():
        raise SettingsError(f"{flag}: {folder} has no folder {IMAGES}")
    maps = next((folder / name for name in MAPS if (folder / name).is_dir()), None)
    if maps is None:
        raise SettingsError(f"{flag}: {folder} has no masks: a folder {', '.join(MAPS)} is needed")
    sources = find_sources([folder / IMAGES])
    by_stem = {file_stem(path): path for path in sorted(maps.iterdir()) if path.is_file()}
    stems = [(source, by_stem.get(file_stem(source.path))) for source in sources]
    pairs = [(source, path) for source, path in stems if path is not None]
    if not pairs:
        raise SettingsError(f"{flag}: no mask in {maps} is named like one of the images")
    if len(pairs) < LEAST_IMAGES:
        raise SettingsError(
            f"{flag}: at least {LEAST_IMAGES} images with masks are needed, so that one can be "
            f"judged by what was learned from others; {folder} has {len(pairs)}"
        )
    return pairs


def read_truth(folder: Path, flag: str = "--truth") -> Iterator[TrueImage]:
    """Read the images of a folder that have instance maps.

    Raises
    ------
    SettingsError
        As `pair_truth`; if an image or map cannot be read or they differ in shape; at the end, if
        no map holds an object.
    """
    n_objects = 0
    for source, path in pair_truth(folder, flag):
        try:
            grey, pixel_size_nm = read_grey(source)
            instances = read_map(path, grey.shape)
        except MosaicError as error:
            raise SettingsError(f"{flag}: {source.path.name}: {error}") from error
        image = TrueImage(source.name, grey, instances, pixel_size_nm)
        n_objects += len(image.diameters_px)
        yield image
    if not n_objects:
        raise SettingsError(f"{flag}: the masks of {folder} are all background")


def read_grey(source: Source) -> tuple[NDArray[Any], float | None]:
    """Read a whole image as grey values, upright; return them and the pixel size it states.

    Raises
    ------
    MosaicError
        If it cannot be read.
    """
    if not source.is_readable:
        raise MosaicError(source.kind)
    try:
        with open_image(source.kind, source.path) as image:
            _, to_grey = plan_grey(image)
            grey = show(to_grey(image.read(Window(0, 0, *image.shape))), image.orientation)
            stated = image.pixel_size
    except (MosaicError, MemoryError):
        raise
    except Exception as error:
        # Readers raise anything on damaged files.
        raise MosaicError(f"it is damaged: {error}") from error
    return np.ascontiguousarray(grey), stated.edge_nm() if stated else None


def read_map(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Read the instance map of an image of this shape.

    Raises
    ------
    MosaicError
        If it is no map of instance ids, or of another shape.
    """
    what = f"mask {path.name}"
    with path.open("rb") as file:
        kind = "png" if file.read(4) == b"\x89PNG" else "tiff"
    try:
        with open_image(kind, path) as image:
            refuse_colours(image, what)
            stored = image.read(Window(0, 0, *image.shape))
            ids = as_ids(show(stored, image.orientation), what)
            if ids.shape != shape:
                raise MosaicError(f"{what} is {ids.shape} pixels, the image {shape}")
            refuse_mask(np.unique(ids[ids > 0]).tolist(), image, what)
    except (MosaicError, MemoryError):
        raise
    except Exception as error:
        raise MosaicError(f"{what} is damaged: {error}") from error
    return ids
