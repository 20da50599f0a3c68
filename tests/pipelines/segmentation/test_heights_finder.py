"""What the first of two kinds of actors hands on, and what it does about tiles that fail."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.segmentation.heights_finder import HeightsFinder
from pipelines.segmentation.look import BatchMethod
from pipelines.segmentation.method import load_method
from pipelines.segmentation.methods.otsu import Otsu
from pipelines.segmentation.plan import plan_segmentation
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.tile_task import DONE, FAILED, FULL, FoundHeights
from pipelines.segmentation.work import TileWorker


class Together(Otsu):
    """Answers for several windows at once, and remembers for how many."""

    def __init__(self):
        self.asked = []

    def heights_of_all(self, looks, settings):
        self.asked.append(len(looks))
        return [self.heights(*look, settings) for look in looks]


def tasks_of(archive, here, names=None):
    """The tiles of all mosaics, in one row."""
    names = names or archive.mosaic_names()
    plan = plan_segmentation(archive, names, here.settings, core_px=64)
    tasks = [tile.task for mosaic in plan.mosaics for tile in mosaic.tiles]
    return tasks, plan.halo_px


@pytest.fixture
def tiles(archive, here):
    """A mosaic of four tiles and one of one."""
    image = here.draw_discs((120, 128))
    here.add_mosaic(archive, "a", image)
    here.add_mosaic(archive, "b", image[:60, :50])
    return tasks_of(archive, here)


def test_windows_of_several_mosaics_are_asked_about_together(tiles, here):
    tasks, halo_px = tiles
    method = Together()

    found = dict(HeightsFinder(here.settings, method, halo_px).find(tasks))

    assert isinstance(method, BatchMethod)
    assert method.asked == [5]
    assert {place: heights.status for place, heights in found.items()} == dict.fromkeys(
        range(5), DONE
    )


def test_a_tile_of_given_heights_becomes_the_same_parts(tiles, here):
    tasks, halo_px = tiles
    method = load_method("otsu")
    found = dict(HeightsFinder(here.settings, method, halo_px).find(tasks))
    worker = TileWorker(here.settings, method, 64, halo_px)
    scratch = Scratch(Path(tasks[1].scratch))

    given = worker.take_tile(tasks[1], paint=False, found=found[1])
    parts = scratch.parts_path(tasks[1].unit).read_bytes()
    own = worker.take_tile(tasks[1], paint=False)

    assert given.status == own.status == DONE
    assert given.digest == own.digest
    assert parts == scratch.parts_path(tasks[1].unit).read_bytes()


@pytest.mark.parametrize(
    ("level", "status", "reason"),
    [(251, FAILED, "ValueError: poisoned"), (253, FULL, "OSError: .*No space left on device")],
)
def test_a_tile_that_fails_costs_nothing_but_itself(archive, here, level, status, reason):
    image = here.draw_discs((64, 300))
    image[5, 295] = level
    here.add_mosaic(archive, "m", image)
    tasks, halo_px = tasks_of(archive, here)

    found = dict(HeightsFinder(here.settings, load_method(here.poison), halo_px).find(tasks))

    assert [found[place].status for place in range(5)] == [DONE] * 4 + [status]
    assert re.match(reason, found[4].reason)
    assert found[4].attempts == (3 if status == FAILED else 1)


def test_a_tile_that_was_tried_too_often_is_given_up_untouched(tiles, here):
    tasks, halo_px = tiles
    for _ in range(3):
        Scratch(Path(tasks[2].scratch)).begin_attempt(tasks[2].unit)
    method = Together()

    finder = HeightsFinder(here.settings, method, halo_px)
    found = dict(finder.find(tasks))

    assert method.asked == [4]
    # Being handed out once more is no attempt.
    for tile in (found[2], dict(finder.find([tasks[2]]))[0]):
        assert (tile.status, tile.reason) == (FAILED, "its process died 3 times")
        assert tile.attempts == 3


def test_a_tile_that_was_tried_before_is_tried_alone(tiles, here):
    tasks, halo_px = tiles
    Scratch(Path(tasks[2].scratch)).begin_attempt(tasks[2].unit)
    method = Together()

    found = dict(HeightsFinder(here.settings, method, halo_px).find(tasks))

    assert method.asked == [1, 4]
    assert found[2].status == DONE


def test_a_tile_that_failed_elsewhere_is_not_tried_again_here(tiles, here):
    tasks, halo_px = tiles
    worker = TileWorker(here.settings, load_method("otsu"), 64, halo_px)
    lost = FoundHeights(FAILED, attempts=3, reason="poisoned")

    result = worker.take_tile(tasks[0], paint=False, found=lost)

    assert (result.status, result.attempts, result.reason) == (FAILED, 3, "poisoned")


def test_heights_reach_one_pixel_beyond_the_core_and_no_further(tiles, here):
    tasks, halo_px = tiles
    found = dict(HeightsFinder(here.settings, load_method("otsu"), halo_px).find(tasks))

    # The first of four cores of 64 in 120 x 128: beyond the mosaic there is nothing.
    assert len(found[0].heights) == 2 * 65 * 65
    assert found[0].array(tasks[0].core.grown(1, (120, 128))).dtype == np.uint16
