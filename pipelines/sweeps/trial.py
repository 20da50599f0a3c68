"""One trial: make labels wrong, train, and judge against the truth."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.archive import write_text
from pipelines.classifiers.fit import HISTORY_FILE, MODEL_FOLDER, fit_classifier
from pipelines.classifiers.methods import method_type
from pipelines.classifiers.model import Classifier, load_classifier
from pipelines.classifiers.plan import Particles, TrainPlan, describe_network
from pipelines.errors import SettingsError
from pipelines.labels.noise import NoisyLabels, corrupt_labels
from pipelines.randomness import hash_to_unit
from pipelines.sweeps.plan import Trial
from pipelines.sweeps.study_set import CONTROL, LEARN, TEST, StudySet
from pipelines.training import splits
from pipelines.training.attempts import n_redone
from pipelines.training.samples import UNKNOWN
from pipelines.training.team import Team

RESULT_FILE = "result.json"
PREDICTIONS_FILE = "predictions.npz"
#: Epochs at the end whose mean is the headline.
_LAST_EPOCHS = 10

Ints = NDArray[np.int64]
Report = Callable[[Mapping[str, float]], None]


def run_trial(
    study: StudySet, trial: Trial, folder: Path, *, report: Report | None = None
) -> dict[str, Any]:
    """Train and judge; leave ``result.json`` and ``predictions.npz`` in ``folder``.

    A trial that was interrupted goes on from its checkpoint.

    Parameters
    ----------
    study : StudySet
        The particles.
    trial : Trial
        What to do.
    folder : Path
        Where its files go.
    report : callable, optional
        Called with the curves' points after every epoch.

    Returns
    -------
    result : dict
        One row of the table of results.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    rows, roles = choose_roles(study, trial)
    noisy = _make_wrong(study, trial, rows, roles)
    plan = plan_trial(study, trial, rows, roles, noisy)
    fit_classifier(plan, folder, Team(device=_device()), report=report)
    history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
    classifier = load_classifier(folder / MODEL_FOLDER)
    result = {
        **_judge(study, trial, rows, roles, classifier, folder),
        **_summarise(history, trial),
        "realised_error_rate": noisy.error_rate,
        "transition_matrix": noisy.transition_matrix.tolist(),
        "seconds": time.monotonic() - started,
        "device": _name(_device()),
        "epochs_redone": n_redone(folder),
        "history": history,
    }
    write_text(folder / RESULT_FILE, json.dumps(result))
    return result


def choose_roles(study: StudySet, trial: Trial) -> tuple[Ints, Ints]:
    """Choose the particles of a trial by their ids, and give each one role.

    Raises
    ------
    SettingsError
        If there are not enough.
    """
    learn = np.flatnonzero(study.groups == LEARN)
    places = hash_to_unit(study.particle_ids[learn], trial.seed, "roles")
    learn = learn[np.argsort(places, kind="stable")]
    wanted = trial.n_train + trial.n_select + trial.n_clean
    if len(learn) < wanted:
        raise SettingsError(
            f"a trial needs {wanted} particles to learn from (n_train, n_select and n_clean), "
            f"and there are {len(learn)}"
        )
    test = np.flatnonzero(study.groups == TEST)
    if trial.n_test:
        # The same particles in every trial.
        order = np.argsort(hash_to_unit(study.particle_ids[test], 0, "test"), kind="stable")
        test = test[order][: trial.n_test]
    # Trusted particles first: more training particles never make them others.
    rows = np.concatenate([learn[:wanted], np.sort(test)])
    counts = [trial.n_clean, trial.n_select, trial.n_train, len(test)]
    roles = np.repeat([splits.CLEAN_SMALL, splits.SELECT, splits.TRAIN, splits.TEST], counts)
    return rows, roles


def plan_trial(
    study: StudySet, trial: Trial, rows: Ints, roles: Ints, noisy: NoisyLabels
) -> TrainPlan:
    """Plan the training of a trial."""
    kind = method_type(trial.variant.method)
    given = study.true_labels[rows].copy()
    own = np.full(len(rows), UNKNOWN)
    wrong = (roles == splits.TRAIN) | (roles == splits.SELECT)
    given[wrong] = noisy.given_labels
    mirrored = None
    if noisy.mirrored_given_labels is not None:
        own[wrong] = noisy.mirrored_given_labels
        mirrored = own
    antisymmetric = trial.network.antisymmetric and study.has_mirror
    return TrainPlan(
        mosaics=[],
        pixel_sizes_nm=[],
        particles=Particles(
            particle_ids=study.particle_ids[rows],
            mosaic_index=np.zeros(len(rows), dtype=np.int64),
            centres_yx=np.zeros((len(rows), 2)),
            orientations_rad=np.zeros(len(rows)),
        ),
        roles=roles,
        given_labels=given,
        true_labels=study.true_labels[rows],
        classes=study.classes,
        mirrored_class=study.mirrored_class,
        use_mirror_images=study.has_mirror and not antisymmetric,
        method=trial.variant.method,
        method_options=trial.variant.options,
        network=describe_network(
            trial.network.architecture,
            trial.network.width,
            mirrored_class=study.mirrored_class,
            antisymmetric=antisymmetric,
            dropout=trial.network.dropout,
            n_networks=kind.n_networks,
            n_extra_outputs=kind.n_extra_outputs,
        ),
        view=study.view,
        augmentation=replace(study.augmentation, **trial.augmentation),
        loop=trial.loop,
        n_rotations=trial.network.rotations,
        seed=trial.seed,
        mirrored_given_labels=mirrored,
        stored=study.crops(rows),
        curve_particles=10**9,
        mirrored_share=trial.mirrored_share if antisymmetric else 0.0,
    )


def _make_wrong(study: StudySet, trial: Trial, rows: Ints, roles: Ints) -> NoisyLabels:
    """Make the labels to learn from and to choose by wrong, at the same rate."""
    chosen = rows[(roles == splits.TRAIN) | (roles == splits.SELECT)]
    return corrupt_labels(
        study.true_labels[chosen],
        study.particle_ids[chosen],
        kind=trial.noise,
        error_rate=trial.error_rate,
        seed=trial.seed,
        n_classes=len(study.classes),
        mirrored_class=study.mirrored_class if study.has_mirror else None,
        difficulty=study.difficulty[chosen],
        order=study.order[chosen],
    )


def _judge(
    study: StudySet,
    trial: Trial,
    rows: Ints,
    roles: Ints,
    classifier: Classifier,
    folder: Path,
) -> dict[str, Any]:
    """Compare what the model says of the test particles with the truth."""
    tested = rows[roles == splits.TEST]
    true = study.true_labels[tested]
    said = classifier.probabilities(study.crops(tested).read(np.arange(len(tested))))
    right = said.argmax(axis=1) == true
    found: dict[str, Any] = {
        "n_train": int((roles == splits.TRAIN).sum()),
        "n_test": len(tested),
        "final": float(right.mean()),
        "accuracy_true": float(right.mean()),
    }
    arrays = {"particle_ids": study.particle_ids[tested], "true_labels": true, "pred_probs": said}
    for index, name in enumerate(study.classes):
        found[f"recall_{name}"] = float(right[true == index].mean())
    if study.has_mirror:
        crops = study.crops(tested).read(np.arange(len(tested)))[:, :, ::-1]
        mirrored = classifier.probabilities(crops)
        swapped = np.asarray(study.mirrored_class)[true]
        found["accuracy_mirrored"] = float((mirrored.argmax(axis=1) == swapped).mean())
        arrays["mirrored_probs"] = mirrored
    if (control := np.flatnonzero(study.groups == CONTROL)).size:
        found |= _judge_control(study, control, classifier)
    np.savez(folder / PREDICTIONS_FILE, **arrays)
    return found


def _judge_control(study: StudySet, control: Ints, classifier: Classifier) -> dict[str, Any]:
    """Try to tell particles without a hand from their mirror images: chance is what is wanted.

    A class that the model prefers for both does not matter, only what differs between them.
    """
    crops = study.crops(control).read(np.arange(len(control)))
    last = len(study.classes) - 1
    plain = classifier.probabilities(crops).argmax(axis=1) == last
    mirrored = classifier.probabilities(crops[:, :, ::-1]).argmax(axis=1) != last
    told = (plain.astype(float) + mirrored) / 2
    return {
        "achiral_share": float(told.mean()),
        "achiral_two_sd": float(2 * max(told.std(), 1e-9) / np.sqrt(len(told))),
        "n_achiral": len(control),
    }


def _summarise(history: list[dict[str, float]], trial: Trial) -> dict[str, Any]:
    """Condense the curves: the headline is a mean over last epochs, never the best one."""
    n_last = min(_LAST_EPOCHS, max(1, len(history) // 3))
    accuracies = [points["test_accuracy"] for points in history]
    end = history[-1]
    return {
        "method": trial.variant.label,
        "noise": trial.noise,
        "error_rate": trial.error_rate,
        "seed": trial.seed,
        "n_epochs": len(history),
        "n_last": n_last,
        "last": float(np.mean(accuracies[-n_last:])),
        "best": float(np.max(accuracies)),
        "memorised": end.get("wrong_labels_memorised"),
        "seen_through": end.get("wrong_labels_seen_through"),
        "kept_precision": end.get("kept_precision"),
        "select_accuracy": end["select_accuracy"],
    }


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _name(device: torch.device) -> str:
    """Name the kind of device: results differ a little between them."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
