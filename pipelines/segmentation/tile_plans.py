"""The tiles of a mosaic and how far each has come: a byte each, for there may be millions."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.ledger import QUARANTINED, Entry, iterate_entries
from pipelines.mosaic.tiling import block, n_blocks
from pipelines.records import Window
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.tile_task import STAGE, TileTask, core_of


class State(IntEnum):
    """How far a tile has come when a run is planned."""

    LEFT = 0
    DONE = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class TilePlan:
    """One tile of a mosaic: what an actor is told of it, and its key in the ledger."""

    index: int
    task: TileTask
    mosaic_key: str

    @property
    def key(self) -> str:
        """The tile's key in the ledger."""
        return tile_key(self.mosaic_key, self.task.core)


@dataclass(frozen=True)
class TilePlans:
    """The tiles of one mosaic in row-major order; a tile is made when it is asked for.

    Attributes
    ----------
    name, key : str
        The mosaic's, as in its plan.
    mosaic_path : Path
        Where it lies.
    scratch : Scratch
        The folder of its work in progress.
    segmentation : str
        Digest of all that decides its instances.
    shape : (int, int)
        Its height and width, in pixels.
    core_px : int
        Edge of a core, in pixels.
    states : bytearray
        A `State` for each tile.
    unrecorded : list of Entry
        What the ledger should say of tiles whose parts are there though it does not know of them:
        the run that made them was killed before it could say so.
    """

    name: str
    key: str
    mosaic_path: Path
    scratch: Scratch
    segmentation: str
    shape: tuple[int, int]
    core_px: int
    states: bytearray = field(init=False)
    unrecorded: list[Entry] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", bytearray(n_blocks(self.shape, self.core_px)))

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, index: int) -> TilePlan:
        core = self.core(index)
        task = TileTask(
            str(self.mosaic_path),
            str(self.scratch.root),
            self.segmentation,
            *core,
            alone=len(self) == 1,
        )
        return TilePlan(index, task, self.key)

    def __iter__(self) -> Iterator[TilePlan]:
        return (self[index] for index in range(len(self)))

    @property
    def n_left(self) -> int:
        """Number of tiles to be segmented."""
        return self.states.count(State.LEFT)

    def core(self, index: int) -> Window:
        """Return the core of a tile."""
        return block(self.shape, self.core_px, index)

    def look(self, quarantined: set[int], recorded: set[int]) -> None:
        """Find out how far the tiles have come.

        Parameters
        ----------
        quarantined : set of int
            Tiles that are not to be tried again.
        recorded : set of int
            Tiles that the ledger says are done.
        """
        for index in quarantined:
            self.states[index] = State.LOST
        if not self.scratch.root.is_dir():
            return
        for tile in self:
            if self.states[tile.index] == State.LOST:
                continue
            digest = self.scratch.find_parts(tile.task.unit)
            if digest is None:
                continue
            self.states[tile.index] = State.DONE
            if tile.index not in recorded:
                result = json.dumps({"digest": digest})
                self.unrecorded.append(
                    Entry(tile.key, STAGE, self.name, tile.task.unit, result=result)
                )

    def find(self, entry: Entry) -> int | None:
        """Return which tile an entry of the ledger is of; None if it is of none of these."""
        core = core_of(entry.unit)
        if core is None:
            return None
        n_columns = -(-self.shape[1] // self.core_px)
        index = core.y0 // self.core_px * n_columns + core.x0 // self.core_px
        # Another segmentation, or other tiles, may have had a tile of the same name.
        is_ours = index < len(self) and tile_key(self.key, self.core(index)) == entry.key
        return index if is_ours else None


def tile_key(mosaic_key: str, core: Window) -> str:
    """Return the key of a tile in the ledger."""
    return digest_json([mosaic_key, list(core)])


def look_for_tiles(
    archive: Archive, mosaics: Sequence[TilePlans], *, retry_quarantined: bool
) -> None:
    """Find out how far the tiles of some mosaics have come."""
    by_name = {tiles.name: tiles for tiles in mosaics}
    recorded: dict[str, set[int]] = {name: set() for name in by_name}
    quarantined: dict[str, set[int]] = {name: set() for name in by_name}
    # Oldest first: of several entries of a tile the newest counts.
    for entry in iterate_entries(archive, STAGE, mosaics=by_name):
        index = by_name[entry.mosaic].find(entry)
        if index is None:
            continue
        is_lost = entry.status == QUARANTINED
        (recorded if is_lost else quarantined)[entry.mosaic].discard(index)
        (quarantined if is_lost else recorded)[entry.mosaic].add(index)
    for name, tiles in by_name.items():
        tiles.look(set() if retry_quarantined else quarantined[name], recorded[name])
