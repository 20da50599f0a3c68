"""Train a classifier as one worker of a team: epochs, curves, checkpoints, then the model."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.archive import write_text
from pipelines.classifiers.methods import method_type
from pipelines.classifiers.model import describe_model, predict_logits, to_tensor
from pipelines.classifiers.networks import Ensemble, build_network
from pipelines.classifiers.plan import TrainPlan
from pipelines.errors import SettingsError
from pipelines.evaluation.classification import fit_temperature
from pipelines.randomness import generator
from pipelines.training.augmentation import augment, draw_uniforms, noise_bank
from pipelines.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
    write_model,
)
from pipelines.training.loader import CropLoader
from pipelines.training.loop import make_optimiser, should_stop, train_epoch
from pipelines.training.method import Batch
from pipelines.training.samples import UNKNOWN, plain_samples, with_mirror_images
from pipelines.training.splits import SELECT, TEST, TRAIN
from pipelines.training.team import Team

#: Where `fit_classifier` leaves its results, inside the folder it was given.
MODEL_FOLDER = "model"
HISTORY_FILE = "history.json"
#: Particles behind each point of a curve, at most: curves are watched, not reported.
_CURVE_PARTICLES = 512


def fit_classifier(plan: TrainPlan, folder: Path, team: Team) -> None:
    """Train, and leave the model in ``folder``; continue if ``folder`` holds a checkpoint.

    Parameters
    ----------
    plan : TrainPlan
        What to do; the same on every worker.
    folder : Path
        Where checkpoints, history and in the end the model are written, by the leader; seen by
        all workers.
    team : Team
        This worker's place.
    """
    _Fit(plan, folder, team).run()


class _Fit:
    """The state of one worker's training."""

    def __init__(self, plan: TrainPlan, folder: Path, team: Team) -> None:
        self.plan, self.folder, self.team = plan, folder, team
        everyone = np.arange(len(plan.particles))
        self.plain = plain_samples(
            everyone, plan.particles.particle_ids, plan.given_labels, plan.true_labels
        )
        labelled = (plan.roles == TRAIN) & (plan.given_labels != UNKNOWN)
        self.samples = self.plain.pick(labelled)
        if plan.use_mirror_images:
            self.samples = with_mirror_images(self.samples, plan.mirrored_class)
        self.owned = team.owns(self.samples.rows)
        self.n_steps = self._count_steps()
        self.source = plan.crops()
        self.loader = CropLoader(
            self.source, self.samples.rows[self.owned], cache_bytes=plan.cache_bytes
        )
        self.networks = self._new_networks()
        self.together = Ensemble(self.networks)
        self.method = method_type(plan.method)(
            [team.join(network) for network in self.networks],
            n_samples=len(self.samples),
            n_classes=len(plan.classes),
            options=plan.method_options,
        )
        self.optimiser = make_optimiser(self.method, plan.loop)
        self.noise = noise_bank(plan.seed, team.device)
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def run(self) -> None:
        """Train what is left to train, and write the model."""
        plan, team = self.plan, self.team
        self._resume()
        self.watched = _Watched(self) if team.leads else None
        stopped = self._stops()
        for epoch in range(len(self.history), plan.loop.n_epochs):
            if team.decide(stopped):
                break
            loss = train_epoch(
                self.method,
                self.optimiser,
                self._batches(epoch),
                epoch=epoch,
                n_steps=self.n_steps,
                settings=plan.loop,
                predict_all=self._predict_all,
                seed=plan.seed,
                device=team.device,
            )
            state = team.gather(self.method.sample_state(), self.owned)
            if self.watched:
                self.history.append({"train_loss": loss, **self.watched.measure()})
                self._remember(state)
            stopped = self._stops()
        if team.leads:
            self._finish()

    def _count_steps(self) -> int:
        """Return the steps of an epoch: the same on every worker, as each step waits for all."""
        rows, size = self.samples.rows, self.team.size
        n_least = int(np.bincount(rows % size, minlength=size).min())
        if n_least == 0:
            raise SettingsError(f"{size} workers are too many for {len(set(rows))} particles")
        return min(-(-len(rows) // self.plan.loop.batch_size), n_least)

    def _new_networks(self) -> list[nn.Module]:
        networks: list[nn.Module] = []
        description = {**self.plan.network, "n_networks": 1}
        for number in range(self.plan.network["n_networks"]):
            with torch.random.fork_rng(devices=[]):
                start = generator(self.plan.seed, "network", number).integers(2**63)
                torch.manual_seed(int(start))
                network = build_network(description).networks[0]
            # Convolutions are several times faster with channels last, on processors too.
            networks.append(network.to(self.team.device, memory_format=torch.channels_last))  # type: ignore[call-overload]
        return networks

    def _resume(self) -> None:
        checkpoint = read_checkpoint(self.folder)
        if checkpoint is None:
            return
        self.together.load_state_dict(checkpoint.weights)
        self.optimiser.load_state_dict(dict(checkpoint.optimiser))
        self.method.load_sample_state(checkpoint.sample_state_of(self.samples.keys))
        self.history = checkpoint.history
        self.best = dict(checkpoint.best_weights)

    def _stops(self) -> bool:
        return should_stop([entry["select_loss"] for entry in self.history], self.plan.loop)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Yield this worker's batches of an epoch: each of its samples once."""
        plan, device = self.plan, self.team.device
        mine = np.flatnonzero(self.owned)
        rng = generator(plan.seed, "order", epoch, self.team.rank)
        order = mine[self.loader.shuffle(self.samples.rows[mine], rng)]
        batches = np.array_split(order, self.n_steps)
        crops_of = self.loader.batches([self.samples.rows[batch] for batch in batches])
        for batch, crops in zip(batches, crops_of, strict=True):
            images = to_tensor(crops, device)
            mirrored = torch.from_numpy(self.samples.mirrored[batch]).to(device)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
            keys = self.samples.keys[batch]
            views = tuple(
                augment(
                    images,
                    draw_uniforms(keys, seed=plan.seed, epoch=epoch, view=view),
                    plan.augmentation,
                    input_px=plan.view.input_px,
                    noise=self.noise,
                ).contiguous(memory_format=torch.channels_last)
                for view in range(self.method.n_views)
            )
            given = torch.from_numpy(self.samples.given_labels[batch]).to(device)
            yield Batch(views, given, torch.from_numpy(batch).to(device))

    def _predict_all(self) -> Tensor:
        """Predict every training sample, its crop undisturbed: (n_networks, N, K)."""
        order = np.argsort(self.samples.rows, kind="stable")
        batches = np.array_split(order, -(-len(order) // _CURVE_PARTICLES))
        crops_of = self.loader.batches([self.samples.rows[batch] for batch in batches])
        logits = np.empty((len(self.networks), len(order), len(self.plan.classes)))
        for batch, crops in zip(batches, crops_of, strict=True):
            mirrored = self.samples.mirrored[batch][:, None, None]
            images = np.where(mirrored, crops[:, :, ::-1], crops)
            for number, network in enumerate(self.networks):
                logits[number, batch] = self._logits(network, images, [0.0])
        return torch.from_numpy(logits).float().to(self.team.device)

    def _remember(self, sample_state: dict[str, Tensor]) -> None:
        """Write the history and a checkpoint; keep the weights if they are the best so far."""
        losses = [entry["select_loss"] for entry in self.history]
        weights = self.together.state_dict()
        if self.plan.loop.patience_epochs and losses[-1] == min(losses):
            self.best = {name: values.detach().clone() for name, values in weights.items()}
        write_checkpoint(
            self.folder,
            Checkpoint(
                n_epochs_done=len(self.history),
                weights=weights,
                best_weights=self.best,
                optimiser=self.optimiser.state_dict(),
                sample_keys=self.samples.keys,
                sample_state=sample_state,
                history=self.history,
            ),
        )
        write_text(self.folder / HISTORY_FILE, json.dumps(self.history))

    def _finish(self) -> None:
        """Calibrate on the select set and write the model."""
        plan = self.plan
        write_text(self.folder / HISTORY_FILE, json.dumps(self.history))
        if self.best:
            self.together.load_state_dict(self.best)
        select = self.plain.pick((plan.roles == SELECT) & (plan.given_labels != UNKNOWN))
        logits = self._logits(self.together, self.source.read(select.rows), plan.angles_rad)
        config = describe_model(
            network=plan.network,
            classes=plan.classes,
            mirrored_class=plan.mirrored_class,
            view=plan.view,
            angles_rad=plan.angles_rad,
            temperature=fit_temperature(logits, select.given_labels),
            pixel_sizes_nm=plan.pixel_sizes_nm,
            method=plan.method,
        )
        write_model(self.folder / MODEL_FOLDER, self.together.state_dict(), config)

    def _logits(
        self, network: nn.Module, crops: NDArray[Any], angles_rad: Sequence[float]
    ) -> NDArray[np.float64]:
        return predict_logits(
            network.eval(),
            crops,
            angles_rad=angles_rad,
            input_px=self.plan.view.input_px,
            device=self.team.device,
        )


class _Watched:
    """The particles whose predictions are followed from epoch to epoch, with their crops."""

    def __init__(self, fit: _Fit) -> None:
        self._fit = fit
        plan = fit.plan
        given, true = plan.given_labels, plan.true_labels
        known = true != UNKNOWN
        labelled = given != UNKNOWN
        wrong = (plan.roles == TRAIN) & labelled & known & (given != true)
        self._parts = {
            "select": np.flatnonzero((plan.roles == SELECT) & labelled),
            "test": self._few(np.flatnonzero((plan.roles == TEST) & known)),
            "wrong": self._few(np.flatnonzero(wrong)),
        }
        self._rows = np.concatenate(list(self._parts.values()))
        self._crops = fit.source.read(self._rows)

    def _few(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        rng = generator(self._fit.plan.seed, "curves")
        return rng.permutation(rows)[:_CURVE_PARTICLES]

    def measure(self) -> dict[str, float]:
        """Return this epoch's points of the curves; those without a particle are left out."""
        plan = self._fit.plan
        logits = self._fit._logits(self._fit.together, self._crops, [0.0])
        predicted = logits.argmax(axis=1)
        ends = np.cumsum([len(rows) for rows in self._parts.values()])[:-1]
        said = dict(zip(self._parts, np.split(predicted, ends), strict=True))
        select = self._parts["select"]
        given = plan.given_labels[select]
        scores = torch.from_numpy(logits[: len(select)])
        points: dict[str, Any] = {
            "select_loss": float(F.cross_entropy(scores, torch.from_numpy(given))),
            "select_accuracy": float((said["select"] == given).mean()),
        }
        test, wrong = self._parts["test"], self._parts["wrong"]
        if len(test):
            points["test_accuracy"] = float((said["test"] == plan.true_labels[test]).mean())
        if len(wrong):
            true, memorised = plan.true_labels[wrong], plan.given_labels[wrong]
            points["wrong_labels_seen_through"] = float((said["wrong"] == true).mean())
            points["wrong_labels_memorised"] = float((said["wrong"] == memorised).mean())
        return points
