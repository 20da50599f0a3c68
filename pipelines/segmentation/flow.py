"""Segment mosaics on Ray: one stream of tiles, then one task per tile that paints it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from cluster.resources import ActorPool
from pipelines.archive import Archive
from pipelines.errors import StorageFullError
from pipelines.ledger import Entry, ledger_writer
from pipelines.mosaic.ome_zarr import InstanceWriter
from pipelines.segmentation import work
from pipelines.segmentation.bookkeeping import Commits, Provenance, Standing, record_tile
from pipelines.segmentation.completion import Solution, begin_instances
from pipelines.segmentation.method import load_method
from pipelines.segmentation.plan import SegmentationPlan, TilePlan
from pipelines.segmentation.scratch import is_storage_full
from pipelines.segmentation.settings import SegmentationSettings

#: Blocks of tiles per actor: enough that no actor is idle long while another ends its last.
BLOCKS_PER_ACTOR = 16
MAX_TILES_PER_BLOCK = 16
#: Actors that held all cores would leave none to read the list of tiles: all would wait for ever.
READ_CPUS = 0.02


def segment_mosaics(
    archive: Archive,
    plan: SegmentationPlan,
    pool: ActorPool,
    *,
    provenance: Provenance | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> list[Entry]:
    """Segment the mosaics of a plan and commit their particles.

    Parameters
    ----------
    archive : Archive
        The archive, which this process alone writes to.
    plan : SegmentationPlan
        What to do.
    pool : ActorPool
        The actors that work on tiles.
    provenance : Provenance, optional
        What the ledger says of this run.
    on_tile : callable
        Called after each tile.

    Returns
    -------
    entries : list of Entry
        The ledger's rows of the mosaics that were finished.

    Raises
    ------
    StorageFullError
        If the disk is full: what was done is kept, and the same call goes on from there.
    """
    provenance = provenance or Provenance()
    standings = {mosaic.key: Standing.of(mosaic) for mosaic in plan.mosaics}
    tiles = {tile.key: (m.key, tile) for m in plan.mosaics for tile in m.tiles if not tile.done}
    commits = Commits(archive, plan.settings, provenance)
    painting = _Painting(archive, plan)
    for standing in standings.values():
        standing.plan.scratch.forget_attempts()
        if not standing.left:
            painting.begin(standing)
    with ledger_writer(archive) as ledger:
        for key, result in _stream(tiles, plan, pool):
            mosaic_key, tile = tiles[key]
            standing = standings[mosaic_key]
            _check_storage(archive, result.reason if result.status == work.FULL else None)
            record_tile(archive, ledger, standing.plan.name, tile, result, provenance)
            standing.take(tile, result)
            on_tile()
            if result.solution:
                commits.add(standing.plan, Solution.from_bytes(result.solution))
            elif not standing.left:
                painting.begin(standing)
    for standing, solution in painting.finish():
        commits.add(standing.plan, solution)
    commits.flush()
    return commits.entries


class TileSegmenter:
    """A Ray actor that segments tiles; its state is what it has opened."""

    def __init__(self, settings: dict[str, Any], core_px: int, halo_px: int) -> None:
        import cv2

        # One process per core: threads of the libraries would only get in each other's way.
        cv2.setNumThreads(1)
        wanted = SegmentationSettings(**settings)
        self._worker = work.TileWorker(wanted, load_method(wanted.method), core_px, halo_px)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Segment the tiles of a batch; every tile gets a row, whatever became of it."""
        rows = [{name: batch[name][i] for name in batch} for i in range(len(batch.get("key", ())))]
        results = [self._worker.try_tile(work.TileTask.from_row(_plain(row))) for row in rows]
        columns = {name: [getattr(r, name) for r in results] for name in _RESULT}
        return {"key": [row["key"] for row in rows], **columns}


_RESULT = tuple(work.TileResult.__dataclass_fields__)


class _TileSource(Datasource):  # type: ignore[misc]
    """Rows that say which tiles to segment: never their pixels."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self._table = pa.Table.from_pylist(list(rows))

    def estimate_inmemory_data_size(self) -> int:
        return int(self._table.nbytes)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        # One task: a process is started to read, and there is next to nothing to read.
        table = self._table
        metadata = BlockMetadata(
            num_rows=table.num_rows, size_bytes=table.nbytes, input_files=None, exec_stats=None
        )
        return [ReadTask(lambda: [table], metadata)]


def _stream(
    tiles: dict[str, tuple[str, TilePlan]], plan: SegmentationPlan, pool: ActorPool
) -> Iterator[tuple[str, work.TileResult]]:
    """Segment tiles; yield their keys and results as they come."""
    if not tiles:
        return
    rows = [{"key": key, **tile.task.to_row()} for key, (_, tile) in tiles.items()]
    per_block = len(rows) // (BLOCKS_PER_ACTOR * pool.size)
    n_blocks = -(-len(rows) // min(max(1, per_block), MAX_TILES_PER_BLOCK))
    results = ray.data.read_datasource(
        _TileSource(rows), override_num_blocks=n_blocks, num_cpus=READ_CPUS
    ).map_batches(
        TileSegmenter,
        fn_constructor_kwargs={
            "settings": asdict(plan.settings),
            "core_px": plan.core_px,
            "halo_px": plan.halo_px,
        },
        batch_size=None,
        **replace(pool, num_cpus=pool.num_cpus * (1 - READ_CPUS)).options(),
    )
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield row.pop("key"), work.TileResult(**row)


class _Painting:
    """The second pass: tasks that paint the tiles of mosaics whose particles are known."""

    def __init__(self, archive: Archive, plan: SegmentationPlan) -> None:
        self._archive = archive
        self._plan = plan
        self._task = ray.remote(num_cpus=1)(work.paint_tile)
        self._begun: list[tuple[Standing, Solution, InstanceWriter, list[Any]]] = []

    def begin(self, standing: Standing) -> None:
        """Solve a mosaic whose tiles are all there, and have its tiles painted."""
        solution = standing.solve(self._plan.settings)
        mosaic = standing.plan.mosaic
        writer = begin_instances(mosaic, solution, self._plan.settings, self._plan.core_px)
        scratch = standing.plan.scratch
        tasks = [
            self._task.remote(str(mosaic.path), str(scratch.parts_path(tile.task.unit)), ids)
            for tile, ids in zip(standing.present, solution.ids, strict=True)
            if ids.any()
        ]
        self._begun.append((standing, solution, writer, tasks))

    def finish(self) -> Iterator[tuple[Standing, Solution]]:
        """Wait for the tasks, publish the instances and yield the mosaics."""
        for standing, solution, writer, tasks in self._begun:
            try:
                ray.get(tasks)
            except ray.exceptions.RayTaskError as error:
                _check_storage(self._archive, str(error) if is_storage_full(error) else None)
                raise
            writer.finish()
            yield standing, solution


def _check_storage(archive: Archive, problem: str | None) -> None:
    if problem is not None:
        raise StorageFullError(
            f"the disk that holds archive {archive.root} is full; make room and run the same "
            "command again to go on"
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Turn numpy scalars into Python's."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
