"""Weak labels of very many particles: batches stream through actors."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cluster.resources import ActorPool
from cluster.streams import map_blocks
from pipelines.labels.rules import Rule
from pipelines.labels.votes import Combine
from pipelines.labels.weak import WeakLabeller, add_statistics

#: Particles that an actor labels at a time.
BATCH_N_PARTICLES = 100_000


def label_by_rules(
    particles: pa.Table,
    rules: Sequence[Rule],
    *,
    combine: Combine,
    min_confidence: float,
    pool: ActorPool,
    batch_n_particles: int = BATCH_N_PARTICLES,
) -> pa.Table:
    """Label particles by rules on a connected Ray.

    Returns
    -------
    labelled : pyarrow.Table
        What one `WeakLabeller` in this process returns for the whole table, row for row.
    """
    labeller = {"rules": rules, "combine": combine, "min_confidence": min_confidence}
    prepared = add_statistics(particles, rules)
    if not particles.num_rows:
        return WeakLabeller(rules, combine, min_confidence)(prepared)
    position = pa.array(np.arange(particles.num_rows))
    numbered = prepared.append_column("position", position).combine_chunks()
    # Every actor gets something to do.
    n_rows = min(batch_n_particles, -(-particles.num_rows // pool.size))
    batches = [numbered.slice(start, n_rows) for start in range(0, particles.num_rows, n_rows)]
    labelled = map_blocks(batches, _NumberedLabeller, labeller, key="position", pool=pool)
    # Batches arrive in the order in which actors finish.
    return pa.concat_tables(labelled).sort_by("position").drop_columns("position").combine_chunks()


class _NumberedLabeller(WeakLabeller):
    """Labels batches and keeps their rows' positions."""

    def __call__(self, particles: pa.Table) -> pa.Table:
        # Ray may hand over an empty block without columns.
        if "position" not in particles.column_names:
            return particles
        labelled = super().__call__(particles)
        return labelled.append_column("position", particles["position"])
