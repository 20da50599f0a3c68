"""What the archive's tables are told: which tiles ended and how, which particles there are."""

import json
from dataclasses import dataclass

import pyarrow as pa

from pipelines.archive import Archive
from pipelines.ledger import DONE, QUARANTINED, Entry, LedgerWriter, append_entries
from pipelines.quarantine import Quarantined, put_in_quarantine, release_from_quarantine
from pipelines.segmentation import tile_task
from pipelines.segmentation.completion import Solution
from pipelines.segmentation.plan import MosaicPlan
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.tile_plans import TilePlan
from pipelines.segmentation.tile_task import STAGE, WHOLE, TileResult
from pipelines.tables import replace_rows, to_table

#: Mosaics come one by one; their commits need not.
ROWS_PER_COMMIT = 200_000
MOSAICS_PER_COMMIT = 64


@dataclass(frozen=True)
class Provenance:
    """What every row of the ledger says of the run that made it."""

    run_id: str = ""
    code_version: str = ""


def record_tile(
    archive: Archive,
    ledger: LedgerWriter,
    mosaic: MosaicPlan,
    tile: TilePlan,
    result: TileResult,
    provenance: Provenance,
) -> None:
    """Write down what became of a tile."""
    name, unit = mosaic.name, tile.task.unit
    failed = result.status == tile_task.FAILED
    if failed:
        put_in_quarantine(
            archive, Quarantined(STAGE, name, unit, result.reason, attempts=result.attempts)
        )
    else:
        release_from_quarantine(archive, STAGE, name, unit)
    ledger.add(
        Entry(
            key=tile.key,
            stage=STAGE,
            mosaic=name,
            unit=unit,
            status=QUARANTINED if failed else DONE,
            attempts=result.attempts,
            seconds=result.seconds,
            reason=result.reason,
            result=json.dumps({"digest": result.digest}),
            run_id=provenance.run_id,
            code_version=provenance.code_version,
        )
    )


class Commits:
    """Collects finished mosaics; commits their particles, then says so in the ledger."""

    def __init__(
        self, archive: Archive, settings: SegmentationSettings, provenance: Provenance
    ) -> None:
        self._archive = archive
        self._settings = json.dumps(settings.to_json(), sort_keys=True)
        self._provenance = provenance
        self._waiting: list[tuple[MosaicPlan, Solution]] = []
        self.entries: list[Entry] = []

    def add(self, plan: MosaicPlan, solution: Solution) -> None:
        """Take a mosaic whose instances are published."""
        self._waiting.append((plan, solution))
        n_rows = sum(len(solution.columns["instance"]) for _, solution in self._waiting)
        if len(self._waiting) >= MOSAICS_PER_COMMIT or n_rows >= ROWS_PER_COMMIT:
            self.flush()

    def flush(self) -> None:
        """Commit what waits."""
        if not self._waiting:
            return
        rows = pa.concat_tables([to_table("particles", s.columns) for _, s in self._waiting])
        names = ", ".join(f"'{plan.name}'" for plan, _ in self._waiting)
        replace_rows(self._archive, "particles", rows, where=f"mosaic in ({names})")
        entries = [self._entry(plan, solution) for plan, solution in self._waiting]
        append_entries(self._archive, entries)
        for plan, solution in self._waiting:
            # Whoever tries the missing tiles again will need the others' parts.
            if not solution.summary["gaps"]:
                plan.scratch.remove()
        self.entries.extend(entries)
        self._waiting = []

    def _entry(self, plan: MosaicPlan, solution: Solution) -> Entry:
        return Entry(
            key=plan.key,
            stage=STAGE,
            mosaic=plan.name,
            unit=WHOLE,
            result=json.dumps(solution.summary),
            settings=self._settings,
            run_id=self._provenance.run_id,
            code_version=self._provenance.code_version,
        )
