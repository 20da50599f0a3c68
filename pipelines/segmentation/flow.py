"""Segment mosaics on Ray: one stream of tiles, segmented first and painted later."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

import pyarrow as pa
import ray
import ray.data

from cluster.losses import survive_losses, watch
from cluster.metrics import WorkMetrics
from cluster.resources import ActorPool, Node, Wish, count_room, plan_pool
from pipelines.archive import Archive
from pipelines.ledger import Entry, ledger_writer
from pipelines.segmentation.commits import Provenance
from pipelines.segmentation.heights_finder import HeightsActor
from pipelines.segmentation.look import BatchMethod
from pipelines.segmentation.memory import tile_memory_bytes
from pipelines.segmentation.method import load_method
from pipelines.segmentation.plan import SegmentationPlan
from pipelines.segmentation.run import Job, Run
from pipelines.segmentation.tile_task import DONE, FAILED, STAGE, EndedTile, TileResult
from pipelines.segmentation.work import TileSegmenter

#: Blocks of tiles per actor: enough that no actor is idle long while another ends its last.
BLOCKS_PER_ACTOR = 16
MAX_TILES_PER_BLOCK = 16
#: Tiles that Ray is given at once, and per actor where there are many actors: five kilobytes of
#: the driver's memory each. Fewer would have the actors started anew too often, for seconds.
JOBS_AT_ONCE = 1 << 16
JOBS_PER_ACTOR = 512
#: Tiles that a network's actor gets at once, where there are many.
WINDOWS_PER_BATCH = 64
#: Tiles whose heights travel together.
BLOCK_TILES = 2


def segment_mosaics(
    archive: Archive,
    plan: SegmentationPlan,
    pool: ActorPool,
    *,
    network_pool: ActorPool | None = None,
    provenance: Provenance | None = None,
    on_tile: Callable[[EndedTile], None] = lambda tile: None,
) -> list[Entry]:
    """Segment the mosaics of a plan and commit their particles.

    Parameters
    ----------
    archive : Archive
        The archive, which this process alone writes tables of.
    plan : SegmentationPlan
        What to do.
    pool : ActorPool
        The actors that work on tiles.
    network_pool : ActorPool, optional
        Others that find the heights for them, for a method that wants accelerators; the result
        is the same without.
    provenance : Provenance, optional
        What the ledger says of this run.
    on_tile : callable
        Called with each tile that was segmented, or given up.

    Returns
    -------
    entries : list of Entry
        The ledger's rows of the mosaics that were finished.

    Raises
    ------
    StorageFullError
        If the disk is full: what was done is kept, and the same call goes on from there.
    """
    run = Run(archive, plan, provenance or Provenance(), on_tile)
    with ledger_writer(archive) as ledger, WorkMetrics(STAGE).queue() as queue:
        # One wave after the other; what came too late for those that waited is in the next.
        while n_left := run.n_left:
            queue.grow_to(n_left)
            results = survive_losses(
                lambda *pools: _stream(run.jobs(_n_at_once(*pools)), plan, *pools),
                pool,
                network_pool,
            )
            # Ended here whatever happens: later, Ray would be started anew to end it.
            with closing(results):
                for job, result in results:
                    run.take(job, result, ledger)
                    queue.shrink()
            if run.n_left == n_left:
                raise RuntimeError(f"none of {n_left} tiles was finished in a whole pass")
    run.commits.flush()
    return run.commits.entries


def plan_pools(
    plan: SegmentationPlan, nodes: Sequence[Node], wish: Wish, n_network: int | None = None
) -> tuple[ActorPool, ActorPool | None]:
    """Share a cluster out between the actors of a segmentation, of which each has a tile to do.

    Parameters
    ----------
    plan : SegmentationPlan
        What is to be done.
    nodes : sequence of Node
        What the cluster has.
    wish : Wish
        What the caller wants.
    n_network : int, optional
        Actors for a network alone; by default as many as there are shares of accelerators, for a
        method that gains by one, and none elsewhere.

    Returns
    -------
    pool : ActorPool
        Actors that do everything, or all but the network's part.
    network_pool : ActorPool or None
        Actors that do the network's part.
    """
    pool = plan_pool(nodes, wish, memory_bytes=tile_memory_bytes(plan))
    # An actor without a tile would only be started, which takes a core for two seconds.
    n_tiles = max(1, plan.n_tiles_left)
    if n_network is None:
        is_batch = isinstance(load_method(plan.settings.method), BatchMethod)
        n_network = count_room(nodes, 0.0, wish.gpu_share) if is_batch else 0
    # With less memory than for one of each kind, a single kind does everything.
    room = count_room(nodes, 0.0, 0.0, pool.memory_bytes or 0)
    n_network = min(n_network, n_tiles, room - 1)
    if n_network <= 0:
        return replace(pool, size=min(pool.size, n_tiles)), None
    # Where processors are few, both kinds share them: each waits for the other now and then.
    n_others = max(1, pool.size - n_network)
    num_cpus = pool.num_cpus * min(1.0, pool.size / (n_others + n_network))
    gpus = min(wish.gpu_share, sum(node.gpus for node in nodes) / n_network)
    pool = replace(pool, num_cpus=num_cpus)
    return (
        replace(pool, size=min(n_others, n_tiles)),
        replace(pool, size=n_network, num_gpus=gpus),
    )


def _n_at_once(pool: ActorPool, network_pool: ActorPool | None) -> int:
    """Return how many jobs Ray is given at once."""
    n_actors = max(pool.size, network_pool.size if network_pool else 0)
    return max(JOBS_AT_ONCE, JOBS_PER_ACTOR * n_actors)


def _stream(
    jobs: Sequence[Job], plan: SegmentationPlan, pool: ActorPool, network_pool: ActorPool | None
) -> Iterator[tuple[Job, TileResult]]:
    """Work through jobs; yield them and their results as they come."""
    if not jobs:
        return
    n_actors = pool.size if network_pool is None else network_pool.size
    per_block = max(1, min(len(jobs) // (BLOCKS_PER_ACTOR * n_actors), MAX_TILES_PER_BLOCK))
    if network_pool is not None:
        # An accelerator wants many windows at once, small mosaics' above all.
        per_block = max(per_block, min(len(jobs) // (2 * n_actors), WINDOWS_PER_BATCH))
    # The rows are handed over as blocks. To read them from a source would need a process of its
    # own for a few kilobytes, and a core, which the actors do not leave free.
    rows = ray.data.from_blocks([pa.Table.from_pylist(b) for b in _blocks(jobs, per_block)])
    settings = asdict(plan.settings)
    watch(rows, pool, network_pool)
    if network_pool is not None:
        # A tile's heights go on as soon as they are there, not when a whole batch of them is.
        rows.context.target_max_block_size = BLOCK_TILES * 2 * plan.core_px**2
        rows = rows.map_batches(
            HeightsActor,
            fn_constructor_kwargs={"settings": settings, "halo_px": plan.halo_px},
            batch_size=per_block,
            **network_pool.options(),
        )
    results = rows.map_batches(
        MeasuredSegmenter,
        fn_constructor_kwargs={
            "settings": settings,
            "core_px": plan.core_px,
            "halo_px": plan.halo_px,
            "given_heights": network_pool is not None,
        },
        batch_size=None,
        **pool.options(),
    )
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield jobs[row.pop("job")], TileResult(**row)


class MeasuredSegmenter(TileSegmenter):
    """Segments tiles, and counts them where the cluster's metrics are collected."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._metrics = WorkMetrics(STAGE)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on the tiles of a batch; those that are painted were counted before."""
        rows = super().__call__(batch)
        for i, paint in enumerate(batch["paint"].tolist()):
            status = rows["status"][i]
            if not paint and status in (DONE, FAILED):
                self._metrics.ended(
                    failed=status == FAILED,
                    seconds=rows["seconds"][i],
                    n_bytes=rows["n_bytes"][i],
                )
        return rows


def _blocks(jobs: Sequence[Job], per_block: int) -> Iterator[list[dict[str, Any]]]:
    """Cut jobs into blocks of rows, each of one kind of work."""
    for paint, numbered in groupby(enumerate(jobs), key=lambda item: item[1].paint):
        rows = [{"job": i, "paint": paint, **job.tile.task.to_row()} for i, job in numbered]
        for start in range(0, len(rows), per_block):
            yield rows[start : start + per_block]
