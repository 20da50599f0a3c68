"""A whole mosaic in this process and in one piece: what its tiles would find, without any files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.ome_zarr import Mosaic
from pipelines.records import Tile, Window
from pipelines.segmentation.measure import choose_particles
from pipelines.segmentation.method import Method, traits_of
from pipelines.segmentation.painting import paint
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.stitching import stitch
from pipelines.segmentation.survey import survey_mosaic
from pipelines.segmentation.tiles import segment_tile


def find_instances(
    mosaic: Mosaic, settings: SegmentationSettings, method: Method
) -> NDArray[np.uint32]:
    """Find the particles of a mosaic that fits into memory several times.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    settings : SegmentationSettings
        What decides the result.
    method : Method
        The method that they name.

    Returns
    -------
    instances : (H, W) array of uint32
        The ids that `flow.segment_mosaics` would write.
    """
    shape = mosaic.info.shape
    whole = Window(0, 0, *shape)
    survey = survey_mosaic(mosaic, method.lifts, settings, traits_of(method))
    image: NDArray[Any] = survey.grey.working(mosaic.read(whole))
    heights = method.heights(image, whole, survey, settings)
    parts = segment_tile(heights, image, Tile(0, whole, whole), shape, settings.split_rule)
    particles = stitch([parts], shape, settings.split_rule)
    keep = choose_particles(particles, shape, settings, mosaic.info.pixel_size_nm)
    ids = np.where(keep, np.cumsum(keep), 0).astype(np.uint32)
    return paint(parts, ids[particles.segments[0]])
