"""Train a classifier as one worker of a team: epochs, curves, checkpoints, then the model."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.archive import write_text
from pipelines.classifiers.batches import Batches
from pipelines.classifiers.curves import Watched
from pipelines.classifiers.methods import method_type
from pipelines.classifiers.model import describe_model, predict_logits
from pipelines.classifiers.networks import Ensemble, build_network
from pipelines.classifiers.plan import TrainPlan
from pipelines.classifiers.sample_choice import choose_samples
from pipelines.classifiers.start import load_start
from pipelines.errors import SettingsError
from pipelines.evaluation.classification import fit_temperature
from pipelines.randomness import generator
from pipelines.training.attempts import note_begun
from pipelines.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
    write_model,
)
from pipelines.training.loader import CropLoader
from pipelines.training.loop import make_optimiser, should_stop, train_epoch
from pipelines.training.method import TrainingSet
from pipelines.training.phases import Epoch, plan_epochs
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import SELECT
from pipelines.training.team import Team

#: Where `fit_classifier` leaves its results, inside the folder it was given.
MODEL_FOLDER = "model"
HISTORY_FILE = "history.json"
_PREDICTED_AT_ONCE = 512


def fit_classifier(
    plan: TrainPlan,
    folder: Path,
    team: Team,
    *,
    report: Callable[[Mapping[str, float]], None] | None = None,
) -> None:
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
    report : callable, optional
        Called by the leader with the curves' points of every epoch.
    """
    _Fit(plan, folder, team, report).run()


class _Fit:
    """The state of one worker's training."""

    def __init__(
        self,
        plan: TrainPlan,
        folder: Path,
        team: Team,
        report: Callable[[Mapping[str, float]], None] | None,
    ) -> None:
        self.plan, self.folder, self.team, self.report = plan, folder, team, report
        kind = method_type(plan.method)
        options = kind.complete_options(plan.method_options)
        self.epochs = plan_epochs(kind.phases(plan.loop.n_epochs, options))
        self.plain, self.samples = choose_samples(plan, self.epochs)
        self.owned = team.owns(self.samples.rows)
        self._check_share()
        self.source = plan.crops()
        self.loader = CropLoader(
            self.source,
            self.samples.rows,
            cache_bytes=plan.cache_bytes,
            mine=self.samples.rows[self.owned],
        )
        self.networks = self._new_networks()
        averaging = plan.loop.average_decay or kind.average_decay
        averages = deepcopy(self.networks) if averaging else []
        #: What predicts: the networks, or the running means of their weights.
        self.together = Ensemble(averages or self.networks, len(plan.classes))
        self.method = kind(
            [team.join(network) for network in self.networks],
            TrainingSet(
                given_labels=torch.from_numpy(self.samples.given_labels).to(team.device),
                groups=torch.from_numpy(self.samples.rows).to(team.device),
                trusted=torch.from_numpy(self.samples.trusted).to(team.device),
                n_classes=len(plan.classes),
                mirrored_class=tuple(plan.mirrored_class) if plan.network["antisymmetric"] else (),
            ),
            options=options,
            averages=averages,
            team=team,
        )
        self.optimiser = make_optimiser(self.method, plan.loop)
        self.batches = Batches(plan, self.samples, self.loader, team, len(self.source))
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def run(self) -> None:
        """Train what is left to train, and write the model."""
        plan, team = self.plan, self.team
        self._resume()
        watched = Watched(plan, self.source) if team.leads else None
        stopped = self._stops()
        for epoch in self.epochs[len(self.history) :]:
            if team.decide(stopped):
                break
            if team.leads:
                note_begun(self.folder, epoch.number)
            if epoch.index == 0:
                self._start_phase(epoch)
            steps = self.batches.plan_steps(epoch)
            loss = train_epoch(
                self.method,
                self.optimiser,
                self.batches.make(epoch, steps, n_views=self.method.n_views),
                epoch=epoch,
                n_steps=len(steps),
                settings=plan.loop,
                predict_all=self._predict_all,
                seed=plan.seed,
                device=team.device,
            )
            state = team.gather(self.method.sample_state(), self.owned)
            chosen = self._judge_choice()
            if watched:
                points = watched.measure(partial(self._logits, self.together))
                self.history.append({"train_loss": loss, **points, **chosen})
                self._remember(state)
                if self.report:
                    self.report(self.history[-1])
            stopped = self._stops()
        if team.leads:
            self._finish()

    def _check_share(self) -> None:
        """Check that every worker has something to do."""
        rows, size = self.samples.rows, self.team.size
        if np.bincount(rows % size, minlength=size).min() == 0:
            raise SettingsError(f"{size} workers are too many for {len(set(rows))} particles")

    def _start_phase(self, epoch: Epoch) -> None:
        self.method.start_phase(epoch.phase_number, self._predict_all)
        if epoch.phase.afresh:
            fresh = self._new_networks()
            for group in (self.networks, self.method.averages):
                for network, first in zip(group, fresh if group else [], strict=True):
                    network.load_state_dict(first.state_dict())
        self.optimiser = make_optimiser(self.method, self.plan.loop)

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
        load_start(networks, self.plan)
        return networks

    def _resume(self) -> None:
        checkpoint = read_checkpoint(self.folder)
        if checkpoint is None:
            return
        self._all_networks.load_state_dict(checkpoint.weights)
        self.optimiser.load_state_dict(dict(checkpoint.optimiser))
        self.method.load_sample_state(checkpoint.sample_state_of(self.samples.keys))
        self.method.load_common_state(checkpoint.common_state)
        self.history = checkpoint.history
        self.best = dict(checkpoint.best_weights)

    @property
    def _all_networks(self) -> nn.Module:
        """The networks, and the running means of their weights."""
        return nn.ModuleList([*self.networks, *self.method.averages])

    def _stops(self) -> bool:
        return should_stop([entry["select_loss"] for entry in self.history], self.plan.loop)

    def _judge_choice(self) -> dict[str, float]:
        """Say how many samples the method chose to learn from, and how many labels were right."""
        if self.method.kept is None:
            return {}
        kept = self.team.gather({"kept": self.method.kept.float()}, self.owned)["kept"]
        chosen = kept.cpu().numpy() > 0
        points = {"kept_share": float(chosen.mean())}
        known = chosen & (self.samples.true_labels != UNKNOWN)
        if known.any():
            right = self.samples.given_labels[known] == self.samples.true_labels[known]
            points["kept_precision"] = float(right.mean())
        return points

    def _predict_all(self) -> Tensor:
        """Predict every training sample, its crop undisturbed: (n_networks, N, K)."""
        order = np.argsort(self.samples.rows, kind="stable")
        batches = np.array_split(order, -(-len(order) // _PREDICTED_AT_ONCE))
        crops_of = self.loader.batches([self.samples.rows[batch] for batch in batches])
        n_outputs = len(self.plan.classes) + self.method.n_extra_outputs
        logits = np.empty((len(self.networks), len(order), n_outputs))
        for batch, crops in zip(batches, crops_of, strict=True):
            mirrored = self.samples.mirrored[batch][:, None, None]
            images = np.where(mirrored, crops[:, :, ::-1], crops)
            for number, network in enumerate(self.networks):
                logits[number, batch] = self._logits(network, images, [0.0])
        return torch.from_numpy(logits).float().to(self.team.device)

    def _remember(self, sample_state: dict[str, Tensor]) -> None:
        """Write the history and a checkpoint; keep the weights if they are the best so far."""
        losses = [entry["select_loss"] for entry in self.history]
        weights = self._all_networks.state_dict()
        if self.plan.loop.patience_epochs and losses[-1] == min(losses):
            best = self.together.state_dict()
            self.best = {name: values.detach().clone() for name, values in best.items()}
        write_checkpoint(
            self.folder,
            Checkpoint(
                n_epochs_done=len(self.history),
                weights=weights,
                best_weights=self.best,
                optimiser=self.optimiser.state_dict(),
                sample_keys=self.samples.keys,
                sample_state=sample_state,
                common_state=self.method.common_state(),
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
