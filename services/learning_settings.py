"""Settings of every verb that trains classifiers: who is learnt from, what is seen, and how."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.errors import SettingsError
from services.settings import TeamSettings

#: The methods of `pipelines.classifiers.methods`, told without importing torch.
METHODS = (
    "ce", "co-teaching", "co-teaching-plus", "dac", "divide-mix", "dynamic-bootstrap", "elr",
    "elr-balanced", "elr-plus", "forward", "gce", "glc", "jocor", "nce-rce", "sce", "two-step",
)  # fmt: skip


class LearningSettings(TeamSettings):
    """What `services.train_plan.plan_training` plans from."""

    method: str = Field("ce", description=f"way of learning: {', '.join(METHODS)}")
    option: tuple[str, ...] = Field(
        (), description="a number of the method's own (NAME=NUMBER); repeatable"
    )
    mosaic: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) to train on; all by default; repeatable"
    )
    hold_out: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) never to train on, kept for testing; repeatable"
    )
    label_version: int | None = Field(None, ge=0, description="labels to learn; the newest if none")
    mirror_pair: tuple[str, ...] = Field(
        ("right:left",), description="classes (CLASS:CLASS) that a mirror exchanges; repeatable"
    )
    antisymmetric: bool = Field(
        True,
        description="build the mirror into the network, instead of training on mirror images too",
    )
    aligned: bool = Field(False, description="turn major axes upright before looking")
    field_nm: float | None = Field(
        None, gt=0, description="edge of the square seen, in nm; by the particles' sizes if none"
    )
    field_px: float | None = Field(None, gt=0, description="the same in px of the mosaic")
    input_px: int = Field(
        64, ge=16, le=512, multiple_of=8, description="edge of the network's input, in its px"
    )
    padding: Literal["constant", "reflect"] = Field(
        "constant", description="what lies beyond a mosaic's edge"
    )
    network: Literal["polar", "polar-coarse", "compact"] = Field(
        "polar",
        description="polar knows no direction, polar-coarse sees less; compact is a plain network",
    )
    width: Literal["slim", "wide"] = Field("slim", description="slim for processors; wide for GPUs")
    epochs: int = Field(30, ge=1, description="passes over the particles")
    patience: int = Field(
        0, ge=0, description="stop after so many epochs without gain on the select part; 0: never"
    )
    batch_size: int = Field(64, ge=1, description="particles per step")
    learning_rate: float = Field(3e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.05, ge=0, description="decay of the weights")
    optimiser: Literal["adamw", "adam", "sgd", "adadelta"] = Field(
        "adamw", description="sgd has a momentum of 0.9"
    )
    schedule: Literal["cosine", "late", "constant"] = Field(
        "cosine", description="of the learning rate; late stays for two fifths, then falls"
    )
    average_decay: float = Field(
        0.0, ge=0, lt=1, description="predict by a running mean of weights of this decay; 0: none"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features dropped in training")
    rotations: Literal[1, 2, 4, 8] = Field(
        1, description="rotations that predictions are averaged over"
    )
    select_share: float = Field(
        0.15, gt=0, lt=1, description="share of particles that watch over training, 0 to 1"
    )
    trusted_share: float = Field(
        0.0, ge=0, lt=1, description="share of particles whose known class may be learnt from"
    )
    trusted: Path | None = Field(
        None, description="CSV file (particle_id,label) of labels that may be trusted"
    )
    cache_mb: int = Field(1024, ge=1, description="memory for crops, in MB per worker")
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )

    @property
    def method_options(self) -> dict[str, float]:
        """The method's own numbers.

        Raises
        ------
        SettingsError
            If one is not NAME=NUMBER.
        """
        options = {}
        for text in self.option:
            name, _, number = text.partition("=")
            try:
                options[name] = float(number)
            except ValueError:
                raise SettingsError(f"--option must be NAME=NUMBER, got {text!r}") from None
        return options

    @property
    def share_for_tests(self) -> float:
        """The share of the particles that is kept for testing, 0 to 1."""
        return 0.0
