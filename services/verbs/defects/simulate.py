"""``tessera defects simulate``: honeycomb lattices with known defects, as images to ingest."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipelines.errors import SettingsError
from pipelines.places import in_bucket, place
from services.outcome import Outcome
from services.settings import VerbSettings

if TYPE_CHECKING:
    from pipelines.simulation.honeycomb_image import Imaging

#: In turn, so that every kind is about as frequent.
_KINDS = ("vacancy", "divacancy", "stone-wales", "substitution", "adatom")


class Settings(VerbSettings):
    """Draw images of a honeycomb lattice, and write down what is wrong with them.

    OUT becomes a folder of OME-Zarr images, with defects.csv (for --labels) and sessions.csv (for
    --sessions) beside them. Images of one session share their brightness. The same seed gives the
    same images.
    """

    out: Path = Field(
        description="what to make; must not be there yet, or be an empty folder",
        json_schema_extra={"argument": True, "metavar": "OUT"},
    )
    images: int = Field(12, ge=1, le=100000, description="how many images")
    session_count: int = Field(4, ge=1, description="how many sessions they come from")
    size_px: int = Field(512, ge=64, le=16384, description="edge of an image, in pixels")
    defects: float = Field(
        1.0, ge=0, description="defects per image; an image of 512 px has 64 patches of 64 px"
    )
    kind: tuple[str, ...] = Field(
        (), description="only these kinds; by default all that atoms can do; repeatable"
    )
    snr: float = Field(3.0, gt=0, description="height of an atom over the sd of a pixel's noise")
    contrast: Literal["stem", "phase"] = Field(
        "stem", description="bright atoms, or dark ones in a bright ring"
    )
    substitute_height: float = Field(
        1.3, ge=0, description="brightness of a foreign atom, 1 for a host"
    )
    grain_boundaries: bool = Field(False, description="let a second grain begin in every image")
    pixel_size_nm: float = Field(0.02, gt=0, le=0.06, description="edge of a pixel")
    name: str = Field("lattice", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="prefix")


def execute(settings: Settings) -> Outcome:
    """Draw the images, all or none."""
    if in_bucket(place(settings.out)):
        raise SettingsError(f"OUT must be a folder on this machine, got {place(settings.out)}")
    out = settings.out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"OUT: must not be there yet, or be an empty folder, got {out}")
    from pipelines.simulation.honeycomb import KINDS
    from pipelines.simulation.honeycomb_image import Imaging

    if unknown := sorted(set(settings.kind) - set(KINDS)):
        raise SettingsError(f"--kind must be one of {', '.join(KINDS)}, got {unknown[0]!r}")
    imaging = Imaging(
        pixel_size_nm=settings.pixel_size_nm, snr=settings.snr, contrast=settings.contrast
    )
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise SettingsError(f"OUT: {out} cannot be made: {error.strerror}") from error
    try:
        n_defects = _draw(settings, imaging, partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Outcome(
        "simulated",
        {
            "images": settings.images,
            "defects": n_defects,
            "labels": str(out / "defects.csv"),
            "sessions": str(out / "sessions.csv"),
        },
    )


def _draw(settings: Settings, imaging: "Imaging", folder: Path) -> int:
    from pipelines.archive import MOSAIC_SUFFIX
    from pipelines.defects.known import KnownDefect, write_known
    from pipelines.mosaic.ome_zarr import write_mosaic
    from pipelines.randomness import generator
    from pipelines.simulation.honeycomb_image import simulate_lattice
    from services.progress import track

    kinds = settings.kind or _KINDS
    known: list[KnownDefect] = []
    sessions: list[tuple[str, str]] = []
    n_before = 0
    shape = (settings.size_px, settings.size_px)
    for index in track(range(settings.images), "simulating", settings.images, unit="images"):
        session = index * settings.session_count // settings.images
        name = f"{settings.name}-{index:04d}"
        # As many as were asked for on average, spread evenly, the kinds in turn.
        n_until = round((index + 1) * settings.defects)
        turn = [kinds[i % len(kinds)] for i in range(n_before, n_until)]
        n_before = n_until
        light = generator(settings.seed, "session", session).uniform(0.8, 1.25)
        image = simulate_lattice(
            shape,
            {kind: turn.count(kind) for kind in dict.fromkeys(turn)},
            imaging,
            brightness=float(light),
            grain_boundary=settings.grain_boundaries,
            substitute_height=settings.substitute_height,
            seed=settings.seed,
            index=index,
        )
        write_mosaic(
            folder / f"{name}{MOSAIC_SUFFIX}",
            image.grey,
            pixel_size_nm=settings.pixel_size_nm,
            acquisition={"instrument": "simulated", "seed": settings.seed, "snr": settings.snr},
        )
        known += [KnownDefect(name, d.y, d.x, d.radius_px, d.kind) for d in image.defects]
        sessions.append((name, f"session-{session}"))
    write_known(folder / "defects.csv", known)
    lines = ["image,session", *(f"{name},{session}" for name, session in sessions)]
    (folder / "sessions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(known)
