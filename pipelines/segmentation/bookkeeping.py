"""What the driver keeps of a run: which tiles are done, what is ready to be committed."""

import json
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.archive import Archive
from pipelines.ledger import DONE, QUARANTINED, Entry, LedgerWriter, append_entries
from pipelines.quarantine import Quarantined, put_in_quarantine, release_from_quarantine
from pipelines.records import Window
from pipelines.segmentation import work
from pipelines.segmentation.completion import Solution, solve
from pipelines.segmentation.method import load_method
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.plan import STAGE, WHOLE, MosaicPlan, TilePlan
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey, survey_mosaic
from pipelines.segmentation.work import TileResult
from pipelines.tables import replace_rows, to_table

#: Mosaics come one by one; their commits need not.
ROWS_PER_COMMIT = 200_000
MOSAICS_PER_COMMIT = 64


@dataclass(frozen=True)
class Provenance:
    """What every row of the ledger says of the run that made it."""

    run_id: str = ""
    code_version: str = ""


@dataclass
class Standing:
    """How far a mosaic has come."""

    plan: MosaicPlan
    gaps: list[Window] = field(default_factory=list)
    left: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, plan: MosaicPlan) -> "Standing":
        """Begin where the ledger says that earlier runs ended."""
        left = {tile.key for tile in plan.tiles if tile.done is None}
        lost = [t.task.core for t in plan.tiles if t.done and t.done.status == QUARANTINED]
        return cls(plan, lost, left)

    def take(self, tile: TilePlan, result: TileResult) -> None:
        """Take a tile's result."""
        self.left.discard(tile.key)
        if result.status == work.FAILED:
            self.gaps.append(tile.task.core)

    @property
    def present(self) -> list[TilePlan]:
        """The tiles that have parts."""
        return [tile for tile in self.plan.tiles if tile.task.core not in self.gaps]

    def solve(self, settings: SegmentationSettings) -> Solution:
        """Decide which particles the mosaic has."""
        scratch, mosaic = self.plan.scratch, self.plan.mosaic
        parts = [TileParts.open(scratch.parts_path(tile.task.unit)) for tile in self.present]
        survey = scratch.read_survey()
        if not parts:
            # Perhaps nothing of the mosaic can be read, so it cannot be surveyed either.
            survey = Survey.blank(mosaic.info.shape)
        elif survey is None:
            survey = survey_mosaic(mosaic, load_method(settings.method).lifts, settings)
        return solve(mosaic.info, self.plan.key, parts, self.gaps, survey, settings)


def record_tile(
    archive: Archive,
    ledger: LedgerWriter,
    name: str,
    tile: TilePlan,
    result: TileResult,
    provenance: Provenance,
) -> None:
    """Write down what became of a tile."""
    unit = tile.task.unit
    failed = result.status == work.FAILED
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
        for plan, _ in self._waiting:
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
