"""What is there to do: which sources are new, which were ingested, which cannot be."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.archive import Archive
from pipelines.errors import MosaicError, SettingsError
from pipelines.ledger import DONE, Entry, read_entries, work_key
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.images import open_mosaic
from pipelines.mosaic.sources import Source, check_names, file_stem, source_digest, source_stamp

STAGE = "ingest"
#: Raise when the same file would give another mosaic.
RESULT_VERSION = 1
TRUTH_SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Refused:
    """A source that cannot become a mosaic, for a reason known before it is read."""

    source: Source
    key: str
    reason: str
    may_pass_later: bool


@dataclass
class IngestPlan:
    """Sources by what is to be done with them."""

    jobs: list[Conversion] = field(default_factory=list)
    #: Ingested before, equal content.
    done: list[Source] = field(default_factory=list)
    #: In the archive, though the ledger lost it: key by source.
    adopted: dict[str, Source] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    #: Refused in an earlier run for a reason that stands: the ledger has it.
    still_refused: list[Source] = field(default_factory=list)
    #: Work key -> what the ledger keeps of its source, to know it again without reading it.
    stamps: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)


def plan_ingest(
    archive: Archive,
    sources: Sequence[Source],
    *,
    pixel_size_nm: float | None,
    allow_unknown_pixel_size: bool,
    truth: Mapping[str, Path],
    folder: Path,
) -> IngestPlan:
    """Compare sources with the archive and its ledger.

    Raises
    ------
    SettingsError
        If two mosaics' particles would share ids.
    """
    in_archive = set(archive.mosaic_names())
    check_names([*in_archive, *(source.name for source in sources)])
    entries = read_entries(archive, STAGE)
    known = _known_digests(entries)
    plan = IngestPlan()
    for source in sources:
        map_path = truth.get(source.name)
        digest, stamp = _digest(source.path, known)
        map_digest = _digest(map_path, known)[0] if map_path else None
        settings = {"pixel_size_nm": pixel_size_nm, "truth": map_digest}
        key = work_key(STAGE, RESULT_VERSION, digest, settings, source.name)
        plan.stamps[key] = stamp
        plan.sources[key] = source
        entry = entries.get(key)
        if source.name in in_archive:
            _compare(archive, source, key, entry, plan)
        elif not source.is_readable:
            plan.refused.append(Refused(source, key, source.kind, may_pass_later=False))
        elif entry is not None and entry.status != DONE and not _may_pass_now(entry):
            plan.still_refused.append(source)
        else:
            plan.jobs.append(
                Conversion(
                    source=str(source.path),
                    kind=source.kind,
                    name=source.name,
                    folder=str(folder),
                    key=key,
                    pixel_size_nm=pixel_size_nm,
                    allow_unknown_pixel_size=allow_unknown_pixel_size,
                    truth=str(map_path) if map_path else None,
                )
            )
    return plan


def find_truth_maps(folder: Path | None, sources: Sequence[Source]) -> dict[str, Path]:
    """Match instance maps to sources by file stem: mosaic name -> map.

    Raises
    ------
    SettingsError
        If the folder is missing or cannot be read, two maps have one stem, or none fits.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise SettingsError(f"--truth: folder {folder} does not exist")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise SettingsError(f"--truth: folder {folder} cannot be read")
    by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in TRUTH_SUFFIXES and path.is_file():
            other = by_stem.setdefault(file_stem(path), path)
            if other is not path:
                raise SettingsError(f"--truth: {other} and {path} are maps of the same image")
    found = {
        source.name: by_stem[file_stem(source.path)].resolve()
        for source in sources
        if file_stem(source.path) in by_stem
    }
    if not found:
        raise SettingsError(f"--truth: no map in {folder} is named like one of the images")
    return found


def _compare(
    archive: Archive, source: Source, key: str, entry: Entry | None, plan: IngestPlan
) -> None:
    """Decide what to do with a source whose mosaic is there already."""
    if entry is not None and entry.status == DONE:
        plan.done.append(source)
        return
    try:
        origin = open_mosaic(archive.mosaic(source.name)).info.acquisition.get("source", {})
    except MosaicError:
        origin = {}
    if origin.get("key") == key:
        plan.adopted[key] = source
        return
    reason = (
        f"the archive has a mosaic {source.name} of other content or made with other settings, "
        "and never overwrites one; rename the file"
    )
    plan.refused.append(Refused(source, key, reason, may_pass_later=True))


def _digest(path: Path, known: Mapping[str, str]) -> tuple[str, str]:
    """Return content digest and ledger note of a file, reading it only if it may have changed."""
    stamp = json.dumps([str(path), *source_stamp(path)])
    digest = known.get(stamp) or source_digest(path)
    return digest, json.dumps({"stamp": stamp, "content": digest})


def _known_digests(entries: Mapping[str, Entry]) -> dict[str, str]:
    found = {}
    for entry in entries.values():
        result = json.loads(entry.result)
        if "stamp" in result:
            found[result["stamp"]] = result["content"]
    return found


def _may_pass_now(entry: Entry) -> bool:
    return bool(json.loads(entry.result).get("again"))
