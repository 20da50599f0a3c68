"""What a segmenter was made from: all that is needed to make it again, and to judge it fairly."""

from collections.abc import Mapping
from typing import Any

from pipelines.segmenter.fit import split_held_out
from pipelines.segmenter.plan import FitPlan
from pipelines.segmenter.result import FitResult
from services.segmenting.reference import Resolved
from services.segmenting.sources import Sources
from services.versions import code_version, library_versions


def make_card(
    settings: Mapping[str, Any],
    plan: FitPlan,
    sources: Sources,
    result: FitResult,
    start: Resolved | None,
) -> dict[str, Any]:
    """Gather what a result must carry.

    Parameters
    ----------
    settings : mapping
        All settings of the verb, JSON-like.
    plan : FitPlan
        What was planned.
    sources : Sources
        What was learned from.
    result : FitResult
        What came of it.
    start : Resolved or None
        The segmenter that was begun with.
    """
    held_out = split_held_out(plan)
    seen = {sources.mosaics[s.name] for s in plan.sources if s.group not in held_out}
    if start is not None:
        seen |= start.seen
    return {
        "seed": plan.seed,
        "settings": dict(settings),
        "code_version": code_version(),
        "libraries": library_versions(),
        "mosaics": sources.mosaics,
        "masks": sources.masks,
        "images": dict(sources.counts),
        # So that nobody is judged by what it learned from.
        "seen": sorted(seen),
        "held_out": sorted(held_out),
        "start": None if start is None else [start.said, start.weights_digest],
        "plan_digest": result.digests["plan"],
        "data_digest": result.digests["data"],
        "weights_digest": result.digests["weights"],
        "metrics": dict(result.metrics),
        "history": list(result.history),
    }
