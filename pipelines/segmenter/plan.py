"""What decides a fitted segmenter, said before anything is done."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.digests import digest_json
from pipelines.errors import SettingsError

Kind = Literal["truth", "weak", "simulated"]
KINDS: tuple[Kind, ...] = ("truth", "weak", "simulated")
#: Raised whenever equal plans give other models than before.
RESULT_VERSION = 1
#: The network halves a patch this often, so a patch is a multiple of it.
PATCH_STEP_PX = 32


@dataclass(frozen=True)
class Source:
    """One image with its instances.

    Attributes
    ----------
    name : str
        Said in reports and errors; no two alike.
    kind : {"truth", "weak", "simulated"}
        Drawn by hand; found by classical methods; known because the scene was made up.
    image : Path
        ``.npy`` file of (H, W) grey values of any depth.
    instances : Path
        ``.npy`` file of (H, W) integers, 0 background.
    confidence : Path or None
        ``.npy`` file of (H, W) uint8: how far each pixel's target can be believed, of 255;
        all of it, by default.
    group : str
        Images of one group, such as tiles of one mosaic, stay on one side of every split; by
        default the name: each image alone.
    pixel_size_nm : float or None
        Where it is known: the model card then says for which pixel sizes the model stands.
    """

    name: str
    kind: Kind
    image: Path
    instances: Path
    confidence: Path | None = None
    group: str = ""
    pixel_size_nm: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"kind of {self.name} must be one of {KINDS}, got {self.kind!r}")
        if not self.group:
            object.__setattr__(self, "group", self.name)


@dataclass(frozen=True)
class FitPlan:
    """Everything that decides a fitted segmenter.

    Attributes
    ----------
    sources : sequence of Source
        What to learn from.
    object_px : float
        Every image is resampled until its median object is this wide.
    width : {"slim", "wide"}
        Size of the network: slim for processors, wide for accelerators.
    local_contrast : bool
        Whether the network is shown how pixels stand out from what is around them, beside grey
        levels: for objects that are much dimmer than what they lie on.
    n_epochs, steps_per_epoch : int
        How long to learn. A step is ``batch_size`` patches of ``patch_px`` squared.
    batch_size, patch_px : int
        Over all workers; working pixels, a multiple of 32.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises, then falls to 0 along a cosine.
    shares : mapping
        What part of a batch comes from sources of each kind; kinds without a source are left
        out and the others make up for it.
    scale_jitter : float
        Patches are resampled by up to this factor more or less, so that a diameter that is
        somewhat wrong does no harm.
    polarity_free : bool
        Whether half of the patches are turned into their negative.
    copy_paste : float
        Share of patches that get further objects, cut out of other places of the same image.
    correct_early : bool
        Whether weak masks are corrected where the network is sure, once it begins to memorise
        their mistakes (ADELE).
    held_out_share : float
        Share of the groups of hand-drawn sources that are kept back to measure with; at least
        one group where it is not 0. The model is never fitted on them.
    start : Path or None
        Folder of a model whose weights to begin with, of the same width and working scale;
        random ones by default. A model of simulated scenes learns a new sample in a fraction of
        the time, and from fewer masks.
    seed : int
        Of everything that is drawn.
    """

    sources: Sequence[Source]
    object_px: float = 18.0
    width: Literal["slim", "wide"] = "slim"
    local_contrast: bool = False
    n_epochs: int = 20
    steps_per_epoch: int = 25
    batch_size: int = 8
    patch_px: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"truth": 0.5, "weak": 0.25, "simulated": 0.25}
    )
    scale_jitter: float = 1.6
    polarity_free: bool = True
    copy_paste: float = 0.3
    correct_early: bool = True
    held_out_share: float = 0.0
    start: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise SettingsError("sources must hold at least one image with masks, got none")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SettingsError(f"sources must have names of their own, got {twice!r} twice")
        if self.patch_px < 64 or self.patch_px % PATCH_STEP_PX:
            raise SettingsError(
                f"patch_px must be a multiple of {PATCH_STEP_PX} from 64, got {self.patch_px}"
            )
        for name in ("n_epochs", "steps_per_epoch", "batch_size"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 8 <= self.object_px <= 64:
            raise SettingsError(f"object_px must be 8 to 64, got {self.object_px}")
        if self.scale_jitter < 1:
            raise SettingsError(f"scale_jitter must be at least 1, got {self.scale_jitter}")
        for name in ("copy_paste", "held_out_share"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides the result, as JSON-like values; files by their paths."""
        plain = asdict(self)
        for source in plain["sources"]:
            for name in ("image", "instances", "confidence"):
                source[name] = None if source[name] is None else str(source[name])
        plain["sources"] = list(plain["sources"])
        plain["shares"] = dict(self.shares)
        plain["start"] = None if self.start is None else str(self.start)
        return {**plain, "result_version": RESULT_VERSION}

    @property
    def digest(self) -> str:
        """What tells this plan from another: a checkpoint of another plan is not gone on from."""
        return digest_json(self.to_json())
