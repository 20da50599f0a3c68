"""Finished mosaics enter the archive in batches: truth rows, then the mosaics, then the ledger.

In this order a crash leaves nothing half said: a mosaic is there only with its truth, and one
that the ledger lost is known again by the key in its metadata.
"""

import json
import shutil
import time
from pathlib import Path

import pyarrow as pa

from pipelines.archive import Archive
from pipelines.ledger import DONE, QUARANTINED, Entry, append_entries
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.ingest_plan import STAGE, IngestPlan, Refused
from pipelines.mosaic.sources import Source
from pipelines.places import move
from pipelines.quarantine import Quarantined, put_in_quarantine, release_from_quarantine
from pipelines.tables import replace_rows

BATCH = 64
EVERY_S = 5.0


class Publisher:
    """Collects what ended, and publishes it when enough has come or enough time has passed."""

    def __init__(self, archive: Archive, plan: IngestPlan, *, code_version: str) -> None:
        self._archive, self._plan, self._code_version = archive, plan, code_version
        self._mosaics: list[Conversion] = []
        self._entries: list[Entry] = []
        self._last = time.monotonic()

    def adopt(self, source: Source, key: str) -> None:
        """Note in the ledger a mosaic that is in the archive already."""
        self._add(self._entry(source, key, status=DONE))

    def add(self, job: Conversion, *, seconds: float, attempts: int) -> None:
        """Take a finished mosaic."""
        self._mosaics.append(job)
        source = self._plan.sources[job.key]
        self._add(self._entry(source, job.key, status=DONE, seconds=seconds, attempts=attempts))

    def refuse(self, refused: Refused, *, seconds: float = 0.0, attempts: int = 1) -> None:
        """Take a source that cannot become a mosaic: it is put in quarantine."""
        source = refused.source
        put_in_quarantine(
            self._archive,
            Quarantined(STAGE, source.name, str(source.path), refused.reason, attempts),
        )
        entry = self._entry(
            source,
            refused.key,
            status=QUARANTINED,
            reason=refused.reason,
            again=refused.may_pass_later,
            seconds=seconds,
            attempts=attempts,
        )
        self._add(entry)

    def flush(self) -> None:
        """Publish what is waiting."""
        tables = [job.truth_table for job in self._mosaics if job.truth_table.is_file()]
        if tables:
            self._write_truth(tables)
        for job in self._mosaics:
            move(job.mosaic_path, self._archive.mosaic(job.name))
            release_from_quarantine(self._archive, STAGE, job.name, job.source)
        append_entries(self._archive, self._entries)
        self._mosaics, self._entries = [], []
        self._last = time.monotonic()

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        if len(self._entries) >= BATCH or time.monotonic() - self._last >= EVERY_S:
            self.flush()

    def _write_truth(self, tables: list[Path]) -> None:
        import pyarrow.parquet

        rows = pa.concat_tables([pyarrow.parquet.read_table(path) for path in tables])
        names = sorted({job.name for job in self._mosaics if job.truth_table in tables})
        # Names of mosaics hold no quotes. Replacing makes a second try after a crash harmless.
        where = f"mosaic IN ({', '.join(repr(name) for name in names)})"
        replace_rows(self._archive, "truth", rows, where=where)
        for path in tables:
            path.unlink()

    def _entry(
        self,
        source: Source,
        key: str,
        *,
        status: str,
        reason: str = "",
        again: bool = False,
        seconds: float = 0.0,
        attempts: int = 1,
    ) -> Entry:
        result = json.loads(self._plan.stamps[key])
        return Entry(
            key=key,
            stage=STAGE,
            mosaic=source.name,
            unit=str(source.path),
            status=status,
            attempts=attempts,
            seconds=seconds,
            reason=reason,
            result=json.dumps({**result, "again": again} if again else result),
            code_version=self._code_version,
        )


def clear_scratch(archive: Archive) -> Path:
    """Make an empty folder for unfinished mosaics; what an earlier run left there is removed."""
    folder = archive.scratch / STAGE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
