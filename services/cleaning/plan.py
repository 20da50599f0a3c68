"""Turn an archive's tables and the settings of ``tessera clean`` into a plan, or say why not."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.folds import Fold, pick_particles, plan_folds
from pipelines.classifiers.plan import TrainPlan
from pipelines.digests import digest_array, digest_json
from pipelines.errors import LabelError
from pipelines.labels.audit import plant_canaries
from pipelines.labels.table import GIVEN
from pipelines.training.samples import UNKNOWN
from services.audit_file import read_audit
from services.label_store import LabelVersion, current_version, read_labels
from services.train_plan import plan_training

if TYPE_CHECKING:
    from services.verbs.clean import Settings

Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Raised whenever the same settings and data give another result.
RESULT_VERSION = 1
_COLUMNS = ["particle_id", "mosaic", "instance", "segmentation"]


@dataclass(frozen=True)
class CleanPlan:
    """What will be trained, and whose labels will be judged by it.

    Attributes
    ----------
    plan : TrainPlan
        A training on all particles with a label that is not in doubt, canaries included.
    folds : list of Fold
        The trainings of the cross-validation.
    version : LabelVersion
        The labels that are cleaned.
    rows : pyarrow.Table
        ``particle_id, mosaic, instance, segmentation`` of the particles.
    given_labels : (N,) ndarray of int
        Labels as they are, without canaries.
    is_judged : (N,) ndarray of bool
        Those whose label in this version is a weak one.
    newest_states : (N,) ndarray of str
        The state of each label in the newest version; "" without a label there.
    newest_version : int
        Its number: what is decided after it is not touched.
    is_canary : (N,) ndarray of bool
        Those of them whose label was made wrong on purpose for the training.
    reviewed : (N,) ndarray of int
        What a person said: a class, the number of classes for undeterminable, or `UNKNOWN`.
    key : str
        Digest of everything that decides the probabilities.
    """

    plan: TrainPlan
    folds: list[Fold]
    version: LabelVersion
    rows: pa.Table
    given_labels: Indices
    is_judged: Bools
    newest_states: NDArray[np.str_]
    newest_version: int
    is_canary: Bools
    reviewed: Indices
    key: str


def plan_cleaning(archive: Archive, settings: "Settings") -> CleanPlan:
    """Plan a cleaning; nothing is started or written.

    Raises
    ------
    LabelError
        If the version does not exist, a class has no labels, or there is nothing to judge.
    SettingsError
        If a setting breaks its rule, or there are more folds than particles.
    """
    planned = plan_training(archive, settings)
    newest = current_version(archive)
    assert newest is not None, "there are labels to train on"
    labelled = np.flatnonzero(planned.plan.given_labels != UNKNOWN)
    plan = pick_particles(planned.plan, labelled)
    rows = planned.data.rows.select(_COLUMNS).take(labelled)
    version = planned.data.version
    is_judged = _states(archive, version.version, rows) == GIVEN
    if not is_judged.any():
        raise LabelError(f"label version {version.version} has no undecided label to judge")
    ids = plan.particles.particle_ids
    given = plan.given_labels
    judged = np.flatnonzero(is_judged)
    planted, chosen = plant_canaries(
        given[judged],
        ids[judged],
        share=settings.canaries,
        n_classes=len(plan.classes),
        seed=settings.seed,
    )
    is_canary = np.zeros(len(ids), dtype=bool)
    is_canary[judged[chosen]] = True
    trained_on = given.copy()
    trained_on[judged] = planted
    plan = replace(plan, given_labels=trained_on)
    _check_classes(plan, given[is_judged & ~is_canary])
    # With the version among the keys, labels that are cleaned again are divided anew.
    folds = plan_folds(
        plan,
        n_folds=settings.folds,
        n_repeats=settings.repeats,
        select_share=settings.select_share,
        keys=(version.digest,),
    )
    reviewed = np.full(len(ids), UNKNOWN)
    if settings.audit is not None:
        reviewed = read_audit(settings.audit, ids, plan.classes)
    key = digest_json(
        [
            RESULT_VERSION,
            planned.key,
            settings.folds,
            settings.repeats,
            digest_array(trained_on),
            digest_array(ids),
        ]
    )
    return CleanPlan(
        plan=plan,
        folds=folds,
        version=version,
        rows=rows,
        given_labels=given,
        is_judged=is_judged,
        newest_states=_states(archive, newest.version, rows),
        newest_version=newest.version,
        is_canary=is_canary,
        reviewed=reviewed,
        key=key,
    )


def _states(archive: Archive, version: int, rows: pa.Table) -> NDArray[np.str_]:
    """Return the state of each particle's label in a version of the labels."""
    names = ["particle_id", "segmentation", "state"]
    labels = read_labels(archive, version, with_unlabelled=True).select(names)
    state = {(row[names[0]], row[names[1]]): row[names[2]] for row in labels.to_pylist()}
    keys = zip(rows["particle_id"].to_pylist(), rows["segmentation"].to_pylist(), strict=True)
    return np.array([state.get(key, "") for key in keys], dtype=str)


def _check_classes(plan: TrainPlan, given: Indices) -> None:
    """Check that every class, or its mirror image, has labels to judge."""
    seen = set(given.tolist())
    seen |= {plan.mirrored_class[index] for index in seen}
    for index, name in enumerate(plan.classes):
        if index not in seen:
            raise LabelError(f"class {name!r} has no undecided label to judge")
