"""Turn an archive's tables and learning settings into a plan of a training, or say why not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.methods import method_type
from pipelines.classifiers.plan import (
    TrainPlan,
    check_samples,
    describe_network,
    plan_classes,
    plan_view,
)
from pipelines.classifiers.start import check_start
from pipelines.digests import digest_array, digest_json
from pipelines.errors import MosaicError, SettingsError
from pipelines.training.augmentation import Augmentation
from pipelines.training.loop import LoopSettings
from pipelines.training.phases import Phase
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import CLEAN_SMALL, TEST, TRAIN, SplitFractions, split_roles
from services import result_versions
from services.audit_file import read_audit
from services.learning_set import LearningSet, read_learning_set
from services.learning_settings import LearningSettings
from services.model_registry import RegisteredModel
from services.selection import select_mosaics
from services.trust.portions import JUDGE, LEARN

#: The field of view, in major axes of a large particle (95th percentile).
_FIELD_IN_AXES = 1.15


@dataclass(frozen=True)
class Planned:
    """A plan, and what it was made from.

    Attributes
    ----------
    plan : TrainPlan
        What will be trained.
    data : LearningSet
        The particles, labels and digests behind it.
    key : str
        Digest of everything that decides the model.
    """

    plan: TrainPlan
    data: LearningSet
    key: str

    @property
    def label_error_rate(self) -> float | None:
        """The share of training labels that are wrong, as far as the truth is known."""
        plan = self.plan
        judged = (plan.roles == TRAIN) & (plan.given_labels != UNKNOWN)
        judged &= plan.true_labels != UNKNOWN
        wrong = plan.given_labels[judged] != plan.true_labels[judged]
        return float(wrong.mean()) if judged.any() else None


def plan_training(archive: Archive, settings: LearningSettings) -> Planned:
    """Plan a training; nothing is started or written.

    Raises
    ------
    LabelError
        If there are no labels, the version does not exist, or there is nothing to tell apart.
    SettingsError
        If a setting breaks its rule, or names nothing.
    MosaicError
        If pixel sizes are known of some mosaics alone.
    """
    method = method_type(settings.method)
    try:
        options = method.complete_options(settings.method_options)
    except ValueError as error:
        raise SettingsError(f"--option: {settings.method}: {error}") from None
    fractions = SplitFractions(
        select=settings.select_share,
        clean_small=settings.trusted_share,
        test=settings.share_for_tests,
    )
    pairs = [_pair(text) for text in settings.mirror_pair]
    selection = select_mosaics(archive, settings.mosaic, settings.hold_out)
    data = read_learning_set(
        archive,
        mosaics=selection.chosen,
        held_out=selection.held_out,
        label_version=settings.label_version,
    )
    present = pc.unique(data.rows["label"].drop_null()).to_pylist()
    classes, mirrored_class = plan_classes(present, pairs)
    particles = data.particles
    roles = split_roles(particles.particle_ids, fractions=fractions, seed=settings.seed)
    # What a person checked is spent by methods that ask for trusted labels, and by no other.
    roles[data.is_in_portion(LEARN)] = CLEAN_SMALL
    roles[data.in_held_out | data.is_in_portion(JUDGE)] = TEST
    given = data.class_indices("label", classes)
    true = data.class_indices("true_label", classes)
    if settings.trusted is not None:
        roles, true = _trust(settings.trusted, data, roles, true, classes)
    _check_trusted(settings.method, method.phases(settings.epochs, options), roles, true)
    check_samples(roles, given, classes, mirrored_class)
    has_mirror = mirrored_class != list(range(len(classes)))
    augmentation = Augmentation(any_rotation=not settings.aligned)
    field, in_nm = _field(settings, data, (roles == TRAIN) & (given != UNKNOWN))
    plan = TrainPlan(
        mosaics=[archive.mosaic(info.name) for info in data.mosaics],
        pixel_sizes_nm=[info.pixel_size_nm for info in data.mosaics],
        particles=particles,
        roles=roles,
        given_labels=given,
        true_labels=true,
        classes=classes,
        mirrored_class=mirrored_class,
        use_mirror_images=has_mirror and not settings.antisymmetric,
        method=settings.method,
        method_options=options,
        network=describe_network(
            settings.network,
            settings.width,
            mirrored_class=mirrored_class,
            antisymmetric=has_mirror and settings.antisymmetric,
            dropout=settings.dropout,
            n_networks=method.n_networks,
            n_extra_outputs=method.n_extra_outputs,
        ),
        view=plan_view(
            field,
            in_nm=in_nm,
            input_px=settings.input_px,
            aligned=settings.aligned,
            augmentation=augmentation,
            padding=settings.padding,
        ),
        augmentation=augmentation,
        loop=LoopSettings(
            n_epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            patience_epochs=settings.patience,
            optimiser=settings.optimiser,
            schedule=settings.schedule,
            average_decay=settings.average_decay,
        ),
        n_rotations=settings.rotations,
        cache_bytes=settings.cache_mb * 2**20,
        seed=settings.seed,
    )
    return Planned(plan, data, _key(plan, data))


def begin_from(planned: Planned, model: RegisteredModel) -> Planned:
    """Let a planned training begin from a model's weights.

    Raises
    ------
    UnfitStartError
        If the weights do not fit.
    """
    check_start(model.config, planned.plan)
    return replace(
        planned,
        plan=replace(planned.plan, start=model.folder),
        key=digest_json([planned.key, model.config["weights_digest"]]),
    )


def _trust(
    path: Path,
    data: LearningSet,
    roles: NDArray[np.int64],
    true_labels: NDArray[np.int64],
    classes: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Set the particles of a file apart, to be learnt from under the labels that it gives them.

    Raises
    ------
    SettingsError
        If the file cannot be read, or names a particle that is kept for testing.
    """
    particle_ids = data.particles.particle_ids
    others = np.array(sorted(data.judge_ids - set(particle_ids.tolist())), dtype=np.int64)
    everyone = np.concatenate([particle_ids, others])
    reviewed = read_audit(path, everyone, classes, flag="--trusted")
    judged = (reviewed != UNKNOWN) & np.isin(everyone, list(data.judge_ids))
    if judged.any():
        raise SettingsError(
            f"--trusted: {path} names particle {everyone[judged][0]}, which judges "
            "(`tessera trust show`): nothing may be learnt from it"
        )
    reviewed = reviewed[: len(particle_ids)]
    chosen = (reviewed >= 0) & (reviewed < len(classes))
    if (both := chosen & (roles == TEST)).any():
        raise SettingsError(
            f"--trusted: {path} names particle {particle_ids[both][0]}, which is kept for testing: "
            "nothing may be learnt from it"
        )
    return np.where(chosen, CLEAN_SMALL, roles), np.where(chosen, reviewed, true_labels)


def _check_trusted(
    method: str,
    phases: Sequence[Phase],
    roles: NDArray[np.int64],
    true_labels: NDArray[np.int64],
) -> None:
    """Check that a method that learns from trusted labels has some."""
    needs = any(phase.part != "noisy" for phase in phases)
    if needs and not ((roles == CLEAN_SMALL) & (true_labels != UNKNOWN)).any():
        raise SettingsError(
            f"--method {method} needs particles of known class to trust: give --trusted FILE, or "
            "--trusted-share with mosaics to train on whose truth is known"
        )


def _pair(text: str) -> tuple[str, str]:
    one, _, other = text.partition(":")
    if not one or not other:
        raise SettingsError(f"--mirror-pair must be CLASS:CLASS, got {text!r}")
    return one, other


def _field(
    settings: LearningSettings, data: LearningSet, trained_on: NDArray[np.bool_]
) -> tuple[float, bool]:
    """Return the field of view, and whether it is in nm: the same of every mosaic."""
    if settings.field_px is not None:
        return settings.field_px, False
    unknown = [info.name for info in data.mosaics if info.pixel_size_nm is None]
    if unknown and settings.field_nm is not None:
        raise SettingsError(
            f"--field-nm needs mosaics of known pixel size; {_some(unknown)} have none"
        )
    if 0 < len(unknown) < len(data.mosaics):
        raise MosaicError(
            f"mosaics {_some(unknown)} have no pixel size, others have: give --field-px to see "
            "all in pixels, or leave some out"
        )
    if settings.field_nm is not None:
        return settings.field_nm, True
    size = {info.name: info.pixel_size_nm or 1.0 for info in data.mosaics}
    scale = np.array([size[name] for name in data.rows["mosaic"].to_pylist()])
    axes = (data.rows["major_axis_px"].to_numpy() * scale)[trained_on]
    return field_of_view(axes), not unknown


def field_of_view(major_axes: NDArray[np.float64]) -> float:
    """Return the edge of the square to see, in the unit of the particles' major axes."""
    return float(f"{_FIELD_IN_AXES * np.percentile(major_axes, 95):.3g}")


def _key(plan: TrainPlan, data: LearningSet) -> str:
    """Digest what decides the model: settings, who is learnt from and what is said of them."""
    # Where to begin from is a folder here; `begin_from` adds the digest of what lies in it.
    arrays = {"particles", "roles", "given_labels", "true_labels", "mosaics", "start"}
    settings = {
        field.name: getattr(plan, field.name) for field in fields(plan) if field.name not in arrays
    }
    settings |= {
        name: asdict(value)
        for name, value in settings.items()
        if is_dataclass(value) and not isinstance(value, type)
    }
    who = [plan.particles.particle_ids, plan.roles, plan.given_labels]
    if (trusted := plan.roles == CLEAN_SMALL).any():
        who.append(np.where(trusted, plan.true_labels, UNKNOWN))
    return digest_json(
        [result_versions.TRAIN, settings, [digest_array(values) for values in who], data.digests()]
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
