"""Enter checked labels, and carry them over to a new segmentation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive, particle_id
from pipelines.errors import SettingsError
from pipelines.labels.table import UNDETERMINABLE
from pipelines.schemas import TRUSTED
from pipelines.tables import append_rows, read_rows, to_table
from services.label_carrying import find_successors, published_segmentation
from services.particle_file import ParticleLine, read_class, read_particle_file
from services.trust.portions import (
    COLUMNS,
    JUDGE,
    LEARN,
    draw_portions,
    find_portions,
    read_all_trusted,
)

_IDENTITY = ("particle_id", "mosaic", "instance", "segmentation")


@dataclass(frozen=True)
class Entered:
    """How many checked labels were entered: new ones, others than before, and equal ones."""

    n_new: int
    n_changed: int
    n_same: int
    n_blank: int
    n_learn: int
    n_judge: int


def enter_trusted(archive: Archive, path: Path, *, checked_by: str) -> Entered:
    """Enter the labels of a filled-in CSV file.

    Parameters
    ----------
    archive : Archive
        The archive.
    path : Path
        As ``tessera trust sample`` writes it: ``mosaic,instance`` or ``particle_id``, and
        ``label``: a class, ``undeterminable``, or nothing where nobody looked.
    checked_by : str
        Who stands for the labels.

    Raises
    ------
    SettingsError
        Naming the file, the line and what is wrong; nothing is entered then.
    """
    lines = read_particle_file(
        path,
        flag="FILE",
        required=("label",),
        optional=("number", "segmentation", "reason"),
    )
    filled = [line for line in lines if line.text("label")]
    if not filled:
        raise SettingsError(f"FILE: no line of {path} has a label: fill in the column label")
    particles = _find_particles(archive, filled)
    rows = particles.append_column(
        "label", pa.array([_label(line) for line in filled], pa.string())
    )
    reasons = pa.array([line.text("reason") or None for line in filled], pa.string())
    rows = rows.append_column("reason", reasons)
    earlier = {
        (row["particle_id"], row["segmentation"]): row
        for row in read_all_trusted(archive, pc.unique(rows["mosaic"]).to_pylist()).to_pylist()
    }
    said = [earlier.get((r["particle_id"], r["segmentation"])) for r in rows.to_pylist()]
    is_new = np.array([before is None for before in said])
    is_same = np.array(
        [
            before is not None and before["label"] == label
            for before, label in zip(said, rows["label"].to_pylist(), strict=True)
        ]
    )
    portions = find_portions(archive, rows)
    drawn = draw_portions(rows["particle_id"].to_numpy())
    rows = rows.append_column("portion", pa.array(np.where(portions == "", drawn, portions)))
    origins = [
        row["particle_id"] if before is None else before["origin"]
        for row, before in zip(rows.to_pylist(), said, strict=True)
    ]
    entered = _complete(rows.append_column("origin", pa.array(origins, pa.int64())), checked_by)
    entered = entered.filter(pa.array(~is_same))
    if entered.num_rows:
        append_rows(archive, "trusted", entered)
    return Entered(
        n_new=int(is_new.sum()),
        n_changed=int((~is_new & ~is_same).sum()),
        n_same=int(is_same.sum()),
        n_blank=len(lines) - len(filled),
        n_learn=int((rows["portion"].to_numpy(zero_copy_only=False) == LEARN).sum()),
        n_judge=int((rows["portion"].to_numpy(zero_copy_only=False) == JUDGE).sum()),
    )


def carry_trusted(archive: Archive, mosaics: Iterable[str]) -> int:
    """Carry trusted labels over to particles of a new segmentation that are the same.

    Those that were split or merged stay behind: they need to be checked anew, and what overlaps
    them keeps their portion all the same. Calling it again does nothing.

    Returns
    -------
    n : int
        Labels that were carried.
    """
    rows = read_all_trusted(archive, list(mosaics))
    carried = [TRUSTED.empty_table()]
    for mosaic in pc.unique(rows["mosaic"]).to_pylist():
        published = published_segmentation(archive.mosaic(mosaic))
        own = rows.filter(pc.equal(rows["mosaic"], mosaic))
        there = own.filter(pc.equal(own["segmentation"], published))
        arrived = pc.is_in(own["origin"], there["origin"].combine_chunks())
        waiting = own.filter(pc.invert(arrived))
        if published is None or not waiting.num_rows:
            continue
        for before in pc.unique(waiting["segmentation"]).to_pylist():
            succession = find_successors(archive, mosaic, before)
            same = {} if succession is None else succession.same()
            carried.append(_move(archive, mosaic, waiting, before, published, same))
    moved = pa.concat_tables(carried)
    if moved.num_rows:
        append_rows(archive, "trusted", moved)
    return int(moved.num_rows)


def _move(
    archive: Archive,
    mosaic: str,
    waiting: pa.Table,
    before: str,
    published: str,
    same: dict[int, int],
) -> pa.Table:
    """Return trusted rows as rows of the particles that are the same now."""
    own = waiting.filter(pc.equal(waiting["segmentation"], before))
    own = own.filter(pc.is_in(own["instance"], pa.array(list(same), pa.int64())))
    moved = own.to_pylist()
    boxes = {
        row["particle_id"]: row
        for row in read_rows(
            archive, "particles", columns=COLUMNS, filters=[("mosaic", "=", mosaic)]
        ).to_pylist()
    }
    found = []
    for row in moved:
        instance = same[row["instance"]]
        identity = particle_id(mosaic, instance)
        if identity in boxes:
            new = {"instance": instance, "segmentation": published, "at": datetime.now(UTC)}
            found.append({**row, **boxes[identity], **new})
    return to_table("trusted", found)


def _find_particles(archive: Archive, lines: list[ParticleLine]) -> pa.Table:
    """Find the particle of each line, in their order; refuse what is not there or outdated."""
    ids = [line.particle_id for line in lines]
    particles = read_rows(
        archive,
        "particles",
        columns=[*_IDENTITY, *COLUMNS[3:]],
        filters=[("particle_id", "in", ids)],
    )
    place = pc.index_in(pa.array(ids, pa.int64()), particles["particle_id"].combine_chunks())
    for line, row in zip(lines, place.to_pylist(), strict=True):
        if row is None:
            raise SettingsError(f"{line.where}: archive {archive.root} has no {line.name}")
        wanted, found = line.text("segmentation"), particles["segmentation"][row].as_py()
        if wanted and wanted != found:
            raise SettingsError(
                f"{line.where}: {line.name} was checked in segmentation {wanted}, and the mosaic "
                f"was segmented anew since ({found}): draw a new sample"
            )
    return particles.take(place)


def _label(line: ParticleLine) -> str | None:
    name = read_class(line)
    return None if name == UNDETERMINABLE else name


def _complete(rows: pa.Table, checked_by: str) -> pa.Table:
    n, now = rows.num_rows, datetime.now(UTC)
    rows = rows.append_column("checked_by", pa.array([checked_by] * n, pa.string()))
    rows = rows.append_column("at", pa.array([now] * n, TRUSTED.field("at").type))
    return rows.select(TRUSTED.names).cast(TRUSTED)
