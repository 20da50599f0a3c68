"""How far one mosaic of a segmentation under way has come."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipelines.mosaic.ome_zarr import InstanceWriter
from pipelines.segmentation import tile_task
from pipelines.segmentation.completion import Solution, begin_instances, solve
from pipelines.segmentation.method import load_method, traits_of
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.plan import MosaicPlan, SegmentationPlan
from pipelines.segmentation.survey import Survey, survey_mosaic
from pipelines.segmentation.tile_plans import State, TilePlan
from pipelines.segmentation.tile_task import TileResult


class TileSet:
    """Some of a mosaic's tiles, in order: a byte for each tile, for there may be millions."""

    def __init__(self, is_in: Iterable[bool]) -> None:
        self._is_in = bytearray(is_in)
        self._n = sum(self._is_in)

    def __len__(self) -> int:
        return self._n

    def __contains__(self, index: int) -> bool:
        return bool(self._is_in[index])

    def __iter__(self) -> Iterator[int]:
        index = self._is_in.find(1)
        while index >= 0:
            yield index
            index = self._is_in.find(1, index + 1)

    def add(self, index: int) -> None:
        """Put a tile in."""
        self._n += index not in self
        self._is_in[index] = 1

    def discard(self, index: int) -> None:
        """Take a tile out, if it is in."""
        self._n -= index in self
        self._is_in[index] = 0


class Standing:
    """How far one mosaic has come."""

    def __init__(self, plan: MosaicPlan, whole: SegmentationPlan) -> None:
        self.plan = plan
        self.solution: Solution | None = None
        self._whole = whole
        self._writer: InstanceWriter | None = None
        states = plan.tiles.states
        self._to_segment = TileSet(state == State.LEFT for state in states)
        self._lost = TileSet(state == State.LOST for state in states)
        # A tile that is alone paints itself.
        self._to_paint = TileSet(state != State.LOST and not plan.is_one_tile for state in states)

    @property
    def n_left(self) -> int:
        """How often a tile is still to be segmented, or painted."""
        return len(self._to_segment) + len(self._to_paint)

    def to_segment(self) -> Iterator[TilePlan]:
        """Yield the tiles that are still to be segmented."""
        return map(self.plan.tiles.__getitem__, self._to_segment)

    def to_paint(self) -> Iterator[TilePlan]:
        """Yield the tiles that are still to be painted."""
        return map(self.plan.tiles.__getitem__, self._to_paint)

    @property
    def is_segmented(self) -> bool:
        """Whether every tile was segmented, or given up."""
        return not self._to_segment

    @property
    def is_painted(self) -> bool:
        """Whether every tile was painted."""
        return not self._to_paint

    def segmented(self, tile: TilePlan, result: TileResult) -> None:
        """Take note of a tile that was segmented, or given up."""
        self._to_segment.discard(tile.index)
        if result.status == tile_task.FAILED:
            self._lost.add(tile.index)
            self._to_paint.discard(tile.index)

    def painted(self, tile: TilePlan) -> None:
        """Take note of a tile that was painted."""
        self._to_paint.discard(tile.index)

    def solve(self) -> None:
        """Decide which particles the mosaic has, and let its tiles be painted."""
        mosaic, scratch, settings = self.plan.mosaic, self.plan.scratch, self._whole.settings
        tiles = self.plan.tiles
        present = [tile.task for tile in tiles if tile.index not in self._lost]
        gaps = [tiles.core(index) for index in self._lost]
        parts = [TileParts.open(scratch.parts_path(task.unit)) for task in present]
        survey = scratch.read_survey()
        if not parts:
            # Perhaps nothing of the mosaic can be read, so it cannot be surveyed either.
            survey = Survey.blank(mosaic.info.shape)
        elif survey is None:
            method = load_method(settings.method)
            survey = survey_mosaic(mosaic, method.lifts, settings, traits_of(method))
        solution = solve(mosaic.info, self.plan.segmentation, parts, gaps, survey, settings)
        self._writer = begin_instances(mosaic, solution, settings, self._whole.core_px)
        units = [task.unit for task in present]
        scratch.write_ids(dict(zip(units, solution.ids, strict=True)))
        # Whoever paints reads the ids from there.
        self.solution = replace(solution, ids=())

    def finish(self) -> None:
        """Publish the instances."""
        if self._writer is not None:
            self._writer.finish()
