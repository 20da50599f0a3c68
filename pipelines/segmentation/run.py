"""A segmentation under way, as the driver sees it: which tiles are done, and what that allows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipelines.archive import Archive
from pipelines.errors import StorageFullError
from pipelines.ledger import QUARANTINED, Entry, LedgerWriter, append_entries
from pipelines.mosaic.ome_zarr import InstanceWriter
from pipelines.segmentation import tile_task
from pipelines.segmentation.commits import Commits, Provenance, record_tile
from pipelines.segmentation.completion import Solution, begin_instances, solve
from pipelines.segmentation.method import load_method, traits_of
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.plan import MosaicPlan, SegmentationPlan, TilePlan
from pipelines.segmentation.survey import Survey, survey_mosaic
from pipelines.segmentation.tile_task import EndedTile, TileResult


@dataclass(frozen=True)
class Job:
    """A tile to be segmented, or to be painted."""

    mosaic: MosaicPlan
    tile: TilePlan
    paint: bool


class Run:
    """A segmentation under way: what is left to do, and what each result means for it."""

    def __init__(
        self,
        archive: Archive,
        plan: SegmentationPlan,
        provenance: Provenance,
        on_tile: Callable[[EndedTile], None],
    ) -> None:
        self._archive = archive
        self._plan = plan
        self._provenance = provenance
        self._on_tile = on_tile
        self._standings = {mosaic.key: Standing(mosaic, plan) for mosaic in plan.mosaics}
        self.commits = Commits(archive, plan.settings, provenance)
        append_entries(archive, self._found())
        for standing in self._standings.values():
            standing.plan.scratch.begin_run()
            self._advance(standing)

    def _found(self) -> list[Entry]:
        """Return what the ledger should know of tiles that a killed run left behind."""
        return [
            replace(
                tile.done,
                run_id=self._provenance.run_id,
                code_version=self._provenance.code_version,
            )
            for mosaic in self._plan.mosaics
            for tile in mosaic.tiles
            if tile.done is not None and not tile.recorded
        ]

    def jobs(self) -> list[Job]:
        """Return what is left to do, in order.

        A mosaic's tiles are painted after the next mosaic's are segmented, so that its particles
        are known by then and nobody has to wait.
        """
        jobs: list[Job] = []
        paint_next: list[Job] = []
        for standing in self._standings.values():
            jobs += [Job(standing.plan, tile, paint=False) for tile in standing.to_segment]
            jobs += paint_next
            paint_next = [Job(standing.plan, tile, paint=True) for tile in standing.to_paint]
        return jobs + paint_next

    def take(self, job: Job, result: TileResult, ledger: LedgerWriter) -> None:
        """Take a job's result: write it down, and do what it allows.

        Raises
        ------
        StorageFullError
            If the job says so.
        """
        if result.status == tile_task.FULL:
            raise StorageFullError(
                f"the disk that holds archive {self._archive.root} is full; make room and run "
                "the same command again to go on"
            )
        standing = self._standings[job.mosaic.key]
        if job.paint and result.status == tile_task.DONE:
            standing.painted(job.tile)
        elif not job.paint:
            record_tile(self._archive, ledger, job.mosaic, job.tile, result, self._provenance)
            standing.segmented(job.tile, result)
            self._on_tile(EndedTile(job.mosaic.name, job.tile.task.unit, result))
        self._advance(standing, Solution.from_bytes(result.solution) if result.solution else None)

    def _advance(self, standing: "Standing", solution: Solution | None = None) -> None:
        if solution is not None:
            standing.solution = solution
        elif standing.is_segmented and standing.solution is None:
            standing.solve()
        if standing.solution is not None and standing.is_painted and not standing.is_finished:
            standing.finish()
            self.commits.add(standing.plan, standing.solution)


class Standing:
    """How far one mosaic has come."""

    def __init__(self, plan: MosaicPlan, whole: SegmentationPlan) -> None:
        self.plan = plan
        self.solution: Solution | None = None
        self.is_finished = False
        self._whole = whole
        self._writer: InstanceWriter | None = None
        self._to_segment = {tile.key: tile for tile in plan.tiles if tile.done is None}
        self._lost = {t.key for t in plan.tiles if t.done and t.done.status == QUARANTINED}
        # A tile that is alone paints itself.
        self._to_paint = {} if plan.is_one_tile else {tile.key: tile for tile in plan.tiles}
        for key in self._lost:
            self._to_paint.pop(key, None)

    @property
    def to_segment(self) -> list[TilePlan]:
        """The tiles that are still to be segmented."""
        return list(self._to_segment.values())

    @property
    def to_paint(self) -> list[TilePlan]:
        """The tiles that are still to be painted."""
        return list(self._to_paint.values())

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
        self._to_segment.pop(tile.key, None)
        if result.status == tile_task.FAILED:
            self._lost.add(tile.key)
            self._to_paint.pop(tile.key, None)

    def painted(self, tile: TilePlan) -> None:
        """Take note of a tile that was painted."""
        self._to_paint.pop(tile.key, None)

    def solve(self) -> None:
        """Decide which particles the mosaic has, and let its tiles be painted."""
        mosaic, scratch, settings = self.plan.mosaic, self.plan.scratch, self._whole.settings
        present = [tile.task for tile in self.plan.tiles if tile.key not in self._lost]
        gaps = [tile.task.core for tile in self.plan.tiles if tile.key in self._lost]
        parts = [TileParts.open(scratch.parts_path(task.unit)) for task in present]
        survey = scratch.read_survey()
        if not parts:
            # Perhaps nothing of the mosaic can be read, so it cannot be surveyed either.
            survey = Survey.blank(mosaic.info.shape)
        elif survey is None:
            method = load_method(settings.method)
            survey = survey_mosaic(mosaic, method.lifts, settings, traits_of(method))
        self.solution = solve(mosaic.info, self.plan.segmentation, parts, gaps, survey, settings)
        self._writer = begin_instances(mosaic, self.solution, settings, self._whole.core_px)
        units = [task.unit for task in present]
        scratch.write_ids(dict(zip(units, self.solution.ids, strict=True)))

    def finish(self) -> None:
        """Publish the instances."""
        if self._writer is not None:
            self._writer.finish()
        self.is_finished = True
