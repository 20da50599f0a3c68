"""What the tables ``loop``, ``network`` and ``augmentation`` of a preset may say."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.training.loop import Optimiser, Schedule


class Part(BaseModel):
    """A table, and what its settings may be."""

    # A misspelt setting must not be ignored, nor a word be taken for a number.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class LoopPart(Part):
    """Of `pipelines.training.loop.LoopSettings`."""

    n_epochs: int = Field(1, ge=1)
    batch_size: int = Field(1, ge=1)
    learning_rate: float = Field(1, gt=0)
    warm_up: float = Field(0, ge=0, le=1)
    weight_decay: float = Field(0, ge=0)
    clip_norm: float = Field(1, gt=0)
    patience_epochs: int = Field(0, ge=0)
    optimiser: Optimiser = "adamw"
    schedule: Schedule = "cosine"
    average_decay: float = Field(0, ge=0, lt=1)


class NetworkPart(Part):
    """Of `pipelines.sweeps.plan.NetworkChoice`."""

    architecture: str = ""
    width: Literal["slim", "wide"] = "slim"
    antisymmetric: bool = False
    dropout: float = Field(0, ge=0, lt=1)
    rotations: Literal[1, 2, 4, 8] = 1


class AugmentationPart(Part):
    """Of `pipelines.training.augmentation.Augmentation`."""

    any_rotation: bool = False
    half_turns: bool = False
    tilt_deg: float = Field(0, ge=0, le=180)
    shift: float = Field(0, ge=0, le=0.5)
    zoom: float = Field(0, ge=0)
    contrast: float = Field(0, ge=0, lt=1)
    brightness: float = Field(0, ge=0)
    gamma: float = Field(0, ge=0)
    blur: float = Field(0, ge=0, le=1)
    noise: float = Field(0, ge=0)
    cut_out: float = Field(0, ge=0, le=1)


def check_part(kind: type[Part], values: Mapping[str, Any]) -> None:
    """Refuse a table that says what it may not.

    The table stays as it is typed: trials are known by it.

    Raises
    ------
    ValueError
        Naming the setting, the rule and the value.
    """
    try:
        kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ValueError(f"unknown setting {name!r}") from None
        said = first["msg"][:1].lower() + first["msg"][1:]
        raise ValueError(f"{name}: {said}, got {first['input']!r}") from None
