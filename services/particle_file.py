"""CSV files about particles, as people edit them: columns, lines, and whom each line means."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.archive import check_mosaic_name, particle_id
from pipelines.errors import ArchiveError, LabelError, SettingsError
from pipelines.labels.table import UNDETERMINABLE, check_class_name
from pipelines.records import INSTANCE_BITS

#: Columns that say which particle a line means: the first two together, or the last alone.
IDENTITY = ("mosaic", "instance", "particle_id")
#: Spreadsheets keep 15 digits of a number, or show six of them.
_ROUNDED = 1e-5


@dataclass(frozen=True)
class ParticleLine:
    """A line of a file: where it stands, whom it means, and what it says."""

    where: str
    particle_id: int
    name: str
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return what stands in a column; "" where nothing does, or it is not there."""
        return self.values.get(column, "")


def read_particle_file(
    path: Path, *, flag: str, required: Sequence[str], optional: Sequence[str] = ()
) -> list[ParticleLine]:
    """Read a CSV file with a line per particle.

    Particles are told by mosaic and instance; their long id is checked loosely where it stands
    beside them, because spreadsheets round it.

    Parameters
    ----------
    path : Path
        The file.
    flag : str
        What it was given by, for messages.
    required, optional : sequence of str
        Columns besides those that tell the particle.

    Raises
    ------
    SettingsError
        Naming the file, the line and what is wrong: a column that is not known or missing, a
        particle that is not well told or stands twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            rows = [(reader.line_num, row) for row in reader]
            head = list(reader.fieldnames or ())
    except FileNotFoundError:
        raise SettingsError(f"{flag}: {path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{flag}: {path} cannot be read: {error}") from None
    known = (*IDENTITY, *required, *optional)
    if unknown := [name for name in head if name not in known]:
        raise SettingsError(
            f"{flag}: {path} line 1: there is no column {unknown[0]!r}; columns are "
            f"{', '.join(known)}"
        )
    missing = [name for name in required if name not in head]
    if "particle_id" not in head:
        missing += [name for name in ("mosaic", "instance") if name not in head]
    if missing:
        raise SettingsError(f"{flag}: {path} line 1: column {missing[0]} is missing")
    lines: list[ParticleLine] = []
    seen: dict[int, str] = {}
    for number, row in rows:
        where = f"{flag}: {path} line {number}"
        if "" in row or None in row.values():
            raise SettingsError(f"{where}: it must have {len(head)} values, as line 1 has")
        line = _to_line(where, {name: text.strip() for name, text in row.items()})
        if line.particle_id in seen:
            raise SettingsError(
                f"{where}: {line.name} stands twice, above in {seen[line.particle_id]}"
            )
        seen[line.particle_id] = f"line {number}"
        lines.append(line)
    if not lines:
        raise SettingsError(f"{flag}: {path} has no line below its head")
    return lines


def read_class(line: ParticleLine) -> str:
    """Return the class that a line's column ``label`` names, or ``undeterminable``.

    Raises
    ------
    SettingsError
        If it can name none.
    """
    text = line.text("label")
    try:
        return text if text == UNDETERMINABLE else check_class_name(text, line.where)
    except LabelError as error:
        raise SettingsError(str(error)) from None


def _to_line(where: str, values: Mapping[str, str]) -> ParticleLine:
    mosaic, instance = values.get("mosaic", ""), values.get("instance", "")
    written = values.get("particle_id", "")
    if not mosaic and not instance:
        number = _whole(where, "particle_id", written)
        return ParticleLine(where, number, f"particle {number}", values)
    try:
        check_mosaic_name(mosaic)
    except ArchiveError as error:
        raise SettingsError(f"{where}: {error}") from None
    number = _whole(where, "instance", instance)
    if number >= 1 << INSTANCE_BITS:
        raise SettingsError(f"{where}: instance must be below {1 << INSTANCE_BITS}, got {number}")
    identity = particle_id(mosaic, number)
    if written and not _may_be(written, identity):
        raise SettingsError(
            f"{where}: particle_id {written} is not that of {mosaic} instance {number}, {identity}"
        )
    return ParticleLine(where, identity, f"particle {number} of mosaic {mosaic}", values)


def _may_be(written: str, identity: int) -> bool:
    """Tell whether a text is an id, or what a spreadsheet makes of it."""
    if written.isdecimal() and not written.endswith("000"):
        return int(written) == identity
    try:
        return abs(float(written) - identity) <= _ROUNDED * identity
    except ValueError:
        return False


def _whole(where: str, column: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 63:
        raise SettingsError(f"{where}: {column} must be a positive whole number, got {text!r}")
    return int(text)
