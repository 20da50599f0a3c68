"""What the main job would do, stage after stage."""

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.resources import Node
from pipelines.archive import Archive
from pipelines.errors import TesseraError
from services.planning import learning, predict, segment
from services.planning.work import Work

if TYPE_CHECKING:
    from services.verbs.run import Settings


def plan_works(archive: Archive, settings: "Settings", nodes: list[Node]) -> list[Work]:
    """Plan what can be told now: what a stage works on may come from the one before.

    Raises
    ------
    SettingsError, MosaicError, NoRoomError
        If it could not be done.
    """
    from pipelines.mosaic.sources import find_sources

    there = archive.mosaic_names()
    sources = find_sources(settings.sources) if settings.sources else []
    new = [source for source in sources if source.name not in there]
    n_bytes = sum(_size(source.path) for source in new)
    works = [
        Work("ingest", "images", len(sources) - len(new), len(new), read_bytes=n_bytes)
    ] if sources else []  # fmt: skip
    if there:
        works += segment.plan_work(archive, settings.stages["segment"], nodes)
    if new:
        remark = f"tiles of {len(new)} new images are not known yet"
        works.append(_later("segment", "tiles", remark))
    for plan, stage, unit in (
        (learning.plan_training_work, "train", "epochs"),
        (predict.plan_work, "predict", "particles"),
    ):
        try:
            works.append(plan(archive, settings.stages[stage], nodes))
        except TesseraError as error:
            works.append(_later(stage, unit, f"not known yet: {error}"))
    return works


def _later(stage: str, unit: str, remark: str) -> Work:
    return Work(stage, unit, 0, 0, where="-", remark=remark)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
