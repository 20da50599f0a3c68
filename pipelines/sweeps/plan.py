"""What a sweep tries: methods, error rates and seeds, under one budget for all."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.classifiers.methods import method_type
from pipelines.digests import digest_json
from pipelines.errors import SettingsError
from pipelines.labels.noise import KINDS
from pipelines.training.loop import LoopSettings

#: Raised whenever the same trial gives another result.
RESULT_VERSION = 2


@dataclass(frozen=True)
class NetworkChoice:
    """The network that all methods of a sweep share.

    Attributes
    ----------
    architecture, width : str
        As `pipelines.classifiers.networks` names them.
    antisymmetric : bool
        Whether the mirror is built in; otherwise mirror images are trained on too.
    dropout : float
        Share of features dropped in training.
    rotations : int
        Rotations that final predictions are averaged over.
    """

    architecture: str = "polar"
    width: str = "slim"
    antisymmetric: bool = False
    dropout: float = 0.0
    rotations: int = 1


@dataclass(frozen=True)
class Variant:
    """A method with its options, and what it is called in tables and figures.

    ``loop``, ``network`` and ``augmentation`` hold what differs from the sweep's own settings: a
    variant with any is not at equal terms, and says so by its label.
    """

    method: str
    label: str
    options: Mapping[str, float] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, complete.

    Attributes
    ----------
    variants : sequence of Variant
        What is compared.
    error_rates : sequence of float
        At which shares of wrong labels, each at least 0 and below 1.
    seeds : sequence of int
        How often; a seed decides labels, order, first weights and augmentation.
    noise : str
        One of `pipelines.labels.noise.KINDS`.
    n_train, n_select, n_clean, n_test : int
        Particles for each role; 0 for ``n_test`` means all.
    loop, network
        The budget and the backbone, for all.
    augmentation : mapping
        What of the study's own augmentation is otherwise, for all.
    tells_error_rate : bool
        Whether methods that take an error rate are told the right one.
    mirrored_share : float
        Share of the particles that are shown mirrored, under the mirror's label, to a network that
        has the mirror built in. All of one hand, they would tell the truth that labels hide:
        methods that mix particles do better then. With 0.5 nothing is told, as where mirror images
        are trained on too.
    """

    variants: Sequence[Variant]
    error_rates: Sequence[float]
    seeds: Sequence[int]
    noise: str
    n_train: int
    n_select: int
    n_clean: int
    n_test: int
    loop: LoopSettings
    network: NetworkChoice
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    tells_error_rate: bool = True
    mirrored_share: float = 0.0

    def __post_init__(self) -> None:
        for rate in self.error_rates:
            if not 0 <= rate < 1:
                raise SettingsError(f"error rate must be at least 0 and below 1, got {rate}")
        if not 0 <= self.mirrored_share <= 1:
            raise SettingsError(f"mirrored_share must be from 0 to 1, got {self.mirrored_share}")
        if self.noise not in KINDS:
            raise SettingsError(f"noise must be one of {', '.join(KINDS)}, got {self.noise!r}")
        for name in ("error_rates", "seeds", "variants"):
            if not getattr(self, name):
                raise SettingsError(f"a sweep needs at least one of {name}, got none")
        labels = [variant.label for variant in self.variants]
        for label in labels:
            if labels.count(label) > 1:
                raise SettingsError(f"methods must have labels of their own, got {label!r} twice")
        for variant in self.variants:
            try:
                method_type(variant.method).complete_options(variant.options)
            except ValueError as error:
                raise SettingsError(f"method {variant.label}: {error}") from None


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    variant: Variant
    error_rate: float
    seed: int
    noise: str
    n_train: int
    n_select: int
    n_clean: int
    n_test: int
    loop: LoopSettings
    network: NetworkChoice
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    mirrored_share: float = 0.0

    def key(self, study_digest: str) -> str:
        """Digest of all that decides the result; a trial is not done twice under one key."""
        decides = asdict(self)
        if not self.mirrored_share:
            # It came later, and changes nothing of the trials before.
            del decides["mirrored_share"]
        return digest_json([RESULT_VERSION, study_digest, decides])

    @property
    def cost(self) -> float:
        """Roughly how much work it is, in passes of one network over the samples."""
        kind = method_type(self.variant.method)
        return self.loop.n_epochs * kind.n_networks * (1 + kind.n_views) / 2


def plan_trials(plan: SweepPlan) -> list[Trial]:
    """List the trials: every variant at every error rate with every seed.

    Seeds come outermost, so that an unfinished sweep has whole curves of fewer seeds.
    """
    return [
        Trial(
            variant=_told(variant, rate) if plan.tells_error_rate else variant,
            error_rate=rate,
            seed=seed,
            noise=plan.noise,
            n_train=plan.n_train,
            n_select=plan.n_select,
            n_clean=plan.n_clean,
            n_test=plan.n_test,
            loop=replace(plan.loop, **variant.loop),
            network=replace(plan.network, **variant.network),
            augmentation={**plan.augmentation, **variant.augmentation},
            mirrored_share=plan.mirrored_share,
        )
        for seed, rate, variant in itertools.product(plan.seeds, plan.error_rates, plan.variants)
    ]


def _told(variant: Variant, error_rate: float) -> Variant:
    """Tell the error rate to a method that asks for it, unless its options say otherwise."""
    asks = "error_rate" in method_type(variant.method).known_options()
    if not asks or "error_rate" in variant.options:
        return variant
    return replace(variant, options={**variant.options, "error_rate": error_rate})
