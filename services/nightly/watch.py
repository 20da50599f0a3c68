"""What the instrument wrote: the images in the watched folders that lie still."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.mosaic.sources import find_images, source_stamp


@dataclass(frozen=True)
class Watched:
    """Images by path, each with a stamp of size and newest change; how many are still written."""

    stamps: Mapping[str, str]
    n_unsettled: int


def look(folders: Sequence[Path], *, settle_s: float, now_s: float) -> Watched:
    """List the images directly inside the folders; nothing but their first bytes is read.

    Parameters
    ----------
    folders : sequence of Path
        Watched folders; they may be empty.
    settle_s : float
        Images that changed less than so many seconds ago are left for the next night: the
        instrument may be writing them still.
    now_s : float
        The time, in seconds since 1970.

    Raises
    ------
    SettingsError
        If a folder is missing or cannot be read.
    """
    stamps: dict[str, str] = {}
    n_unsettled = 0
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"--watch-dir: folder {folder} does not exist")
        for source in find_images(folder):
            size, changed_ns = source_stamp(source.path)
            if now_s - changed_ns / 1e9 < settle_s:
                n_unsettled += 1
            else:
                stamps[str(source.path)] = json.dumps([size, changed_ns])
    return Watched(stamps, n_unsettled)
