import numpy as np

from pipelines.mosaic.ome_zarr import open_instances, open_mosaic
from pipelines.records import Window
from pipelines.segmentation.method import load_method
from pipelines.segmentation.whole import find_instances


def test_a_whole_mosaic_has_the_particles_that_its_tiles_have(archive, here):
    image = here.draw_discs((200, 150))
    here.add_mosaic(archive, "m", image)
    here.segment(archive)
    mosaic = open_mosaic(archive.mosaic("m"))

    found = find_instances(mosaic, here.settings, load_method("otsu"))

    written = open_instances(mosaic.path).read(Window(0, 0, 200, 150))
    assert found.max() > 20
    assert np.array_equal(found, written)


def test_an_empty_mosaic_has_none(archive, here):
    here.add_mosaic(archive, "m", np.full((64, 64), 7, np.uint8))

    found = find_instances(open_mosaic(archive.mosaic("m")), here.settings, load_method("otsu"))

    assert not found.any()
