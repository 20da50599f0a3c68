"""Presets of sweeps: TOML files that say what is compared, on which data, at which budget."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import SettingsError
from pipelines.sweeps.plan import NetworkChoice, SweepPlan, Variant
from pipelines.training.loop import LoopSettings
from services.sweeping.parts import AugmentationPart, LoopPart, NetworkPart, Part, check_part

FOLDER = Path(__file__).parent / "presets"
#: Tables of a sweep and of its variants.
_PARTS: dict[str, type[Part]] = {
    "loop": LoopPart,
    "network": NetworkPart,
    "augmentation": AugmentationPart,
}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SimulatedMosaic(_Strict):
    """A mosaic that is simulated where the archive has none."""

    name: str
    preset: Literal["easy", "paper", "hard"] = "paper"
    size_px: int = Field(ge=1)
    left_fraction: float | None = Field(None, ge=0, le=1)
    achiral: bool = False
    seed: int = Field(0, ge=0)


class Data(_Strict):
    """Where particles come from: mosaics of the archive, or images of digits."""

    kind: Literal["mosaics", "digits"]
    learn: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    mirror_pairs: tuple[str, ...] = ()
    input_px: int = Field(64, ge=16, le=512, multiple_of=8)
    simulate: tuple[SimulatedMosaic, ...] = ()


class _Variant(_Strict):
    method: str
    label: str | None = None
    options: dict[str, float] = Field(default_factory=dict)
    loop: dict[str, Any] = Field(default_factory=dict)
    network: dict[str, Any] = Field(default_factory=dict)
    augmentation: dict[str, Any] = Field(default_factory=dict)


class SweepPreset(_Strict):
    """A sweep as its file says it."""

    title: str
    noise: str
    error_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    n_train: int = Field(ge=1)
    n_select: int = Field(ge=1)
    n_clean: int = Field(ge=0)
    n_test: int = Field(0, ge=0)
    tells_error_rate: bool = True
    mirrored_share: float = Field(0.0, ge=0, le=1)
    data: Data
    loop: dict[str, Any] = Field(default_factory=dict)
    network: dict[str, Any] = Field(default_factory=dict)
    augmentation: dict[str, Any] = Field(default_factory=dict)
    variants: tuple[_Variant, ...]

    def plan(self) -> SweepPlan:
        """Turn it into a plan.

        Raises
        ------
        SettingsError
            If a part breaks its rule.
        """
        for of in (self, *self.variants):
            for name, kind in _PARTS.items():
                try:
                    check_part(kind, getattr(of, name))
                except ValueError as error:
                    raise SettingsError(f"preset {self.title!r}: {name}: {error}") from None
        return SweepPlan(
            variants=[
                Variant(v.method, v.label or v.method, v.options, v.loop, v.network, v.augmentation)
                for v in self.variants
            ],
            error_rates=self.error_rates,
            seeds=self.seeds,
            noise=self.noise,
            n_train=self.n_train,
            n_select=self.n_select,
            n_clean=self.n_clean,
            n_test=self.n_test,
            loop=LoopSettings(**self.loop),
            network=NetworkChoice(**self.network),
            augmentation=self.augmentation,
            tells_error_rate=self.tells_error_rate,
            mirrored_share=self.mirrored_share,
        )


def preset_names() -> list[str]:
    """Return the names of the presets that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_preset(name: str) -> SweepPreset:
    """Read a preset: one that comes with the program, by its name, or a file of the caller's.

    Raises
    ------
    SettingsError
        If there is none of that name, or the file does not say a sweep.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise SettingsError(
            f"--preset must be one of {', '.join(preset_names())} or a TOML file, got {name!r}"
        )
    try:
        return SweepPreset(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--preset {name} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"--preset {name}: {where}: {first['msg'].lower()}") from None
