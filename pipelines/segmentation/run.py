"""A segmentation under way, as the driver sees it: which tiles are done, and what that allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from pipelines.archive import Archive
from pipelines.errors import StorageFullError
from pipelines.ledger import Entry, LedgerWriter, append_entries
from pipelines.segmentation import tile_task
from pipelines.segmentation.commits import Commits, Provenance, record_tile
from pipelines.segmentation.completion import Solution
from pipelines.segmentation.plan import MosaicPlan, SegmentationPlan
from pipelines.segmentation.standing import Standing
from pipelines.segmentation.tile_plans import TilePlan
from pipelines.segmentation.tile_task import EndedTile, TileResult


@dataclass(frozen=True, slots=True)
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
        for standing in list(self._standings.values()):
            standing.plan.scratch.begin_run()
            self._advance(standing)

    def _found(self) -> list[Entry]:
        """Return what the ledger should know of tiles that a killed run left behind."""
        return [
            replace(
                entry,
                run_id=self._provenance.run_id,
                code_version=self._provenance.code_version,
            )
            for mosaic in self._plan.mosaics
            for entry in mosaic.tiles.unrecorded
        ]

    @property
    def n_left(self) -> int:
        """How often a tile is still to be segmented, or painted."""
        return sum(standing.n_left for standing in self._standings.values())

    def jobs(self, at_most: int | None = None) -> list[Job]:
        """Return what is left to do, in order, or the first of it.

        A mosaic's tiles are painted after the next mosaic's are segmented, so that its particles
        are known by then and nobody has to wait.
        """
        return list(islice(self._jobs(), at_most))

    def _jobs(self) -> Iterator[Job]:
        before: Standing | None = None
        for standing in [*self._standings.values(), None]:
            if standing is not None:
                yield from (Job(standing.plan, t, paint=False) for t in standing.to_segment())
            if before is not None:
                yield from (Job(before.plan, t, paint=True) for t in before.to_paint())
            before = standing

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
        standing = self._standings.get(job.mosaic.key)
        if standing is None:
            # Its mosaic is finished: Ray handed the tile out once more.
            return
        if job.paint and result.status == tile_task.DONE:
            standing.painted(job.tile)
        elif not job.paint:
            record_tile(self._archive, ledger, job.mosaic, job.tile, result, self._provenance)
            standing.segmented(job.tile, result)
            self._on_tile(EndedTile(job.mosaic.name, job.tile.task.unit, result))
        self._advance(standing, Solution.from_bytes(result.solution) if result.solution else None)

    def _advance(self, standing: Standing, solution: Solution | None = None) -> None:
        if solution is not None:
            standing.solution = solution
        elif standing.is_segmented and standing.solution is None:
            standing.solve()
        if standing.solution is not None and standing.is_painted:
            standing.finish()
            self.commits.add(standing.plan, standing.solution)
            # Its particles would be kept in memory as long as the run goes on.
            del self._standings[standing.plan.key]
