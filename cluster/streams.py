"""A table in blocks, worked on by a pool of actors."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from cluster.losses import survive_losses, watch
from cluster.resources import ActorPool


def map_blocks(
    blocks: Sequence[pa.Table],
    worker: type,
    arguments: Mapping[str, Any],
    *,
    key: str,
    pool: ActorPool,
    takes: Literal["pyarrow", "numpy"] = "pyarrow",
    gives: Literal["pyarrow", "numpy"] = "pyarrow",
) -> Generator[Any, None, None]:
    """Yield what actors make of the blocks, in any order; what is lost with a node is done again.

    Parameters
    ----------
    blocks : sequence of pyarrow.Table
        Each goes to one actor, whole.
    worker : type
        Class of the actors: makes a batch of rows from a batch of rows.
    arguments : mapping
        For making an actor; small, as they travel with every restart.
    key : str
        Column that numbers the rows; an actor hands it on.
    pool : ActorPool
        What to use; no more of it than there are blocks.
    takes, gives : str
        What actors are given, and what is yielded.
    """
    done: set[int] = set()

    def start(pool: ActorPool) -> Iterator[Any]:
        left = [rows for block in blocks if (rows := _without(block, key, done)).num_rows]
        if not left:
            return
        pool = replace(pool, size=min(pool.size, len(left)))
        rows = ray.data.from_blocks(left)
        watch(rows, pool)
        results = rows.map_batches(
            worker,
            fn_constructor_kwargs=dict(arguments),
            batch_size=None,
            batch_format=takes,
            **pool.options(),
        )
        for batch in results.iter_batches(batch_size=None, batch_format=gives, prefetch_batches=0):
            keys = batch[key]
            done.update(keys.to_pylist() if gives == "pyarrow" else keys.tolist())
            yield batch

    yield from survive_losses(start, pool)


def _without(block: pa.Table, key: str, done: set[int]) -> pa.Table:
    """Leave out the rows that are done."""
    if not done:
        return block
    return block.filter(pc.invert(pc.is_in(block[key], pa.array(done, block[key].type))))
