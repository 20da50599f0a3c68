"""Batches of an epoch: which samples share a step, and this worker's share of each, augmented."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.classifiers.model import to_tensor
from pipelines.classifiers.plan import TrainPlan
from pipelines.randomness import generator
from pipelines.training.augmentation import augment, draw_uniforms, noise_bank
from pipelines.training.loader import CropLoader
from pipelines.training.method import Batch
from pipelines.training.phases import Epoch
from pipelines.training.samples import Samples
from pipelines.training.team import Team

Indices = NDArray[np.int64]


class Batches:
    """Makes the batches of a training, the same on any number of workers.

    Parameters
    ----------
    plan : TrainPlan
        The training.
    samples : Samples
        All workers' samples.
    loader : CropLoader
        Hands out the crops that this worker reads.
    team : Team
        This worker's place.
    n_crops : int
        Number of particles that the samples are of.
    """

    def __init__(
        self, plan: TrainPlan, samples: Samples, loader: CropLoader, team: Team, n_crops: int
    ) -> None:
        self._plan, self._samples, self._loader, self._team = plan, samples, loader, team
        self._n_crops = n_crops
        self._owned = team.owns(samples.rows)
        self._noise = noise_bank(plan.seed, team.device)

    def plan_steps(self, epoch: Epoch) -> list[Indices]:
        """Divide an epoch's samples into the steps of the whole team: each sample once."""
        part = epoch.phase.part
        trusted = self._samples.trusted
        used = np.flatnonzero(trusted if part == "trusted" else ~trusted | (part == "both"))
        rng = generator(self._plan.seed, "order", epoch.number)
        rows = self._samples.rows[used]
        particles = np.unique(rows)
        shuffled = particles[self._loader.shuffle(particles, rng)]
        # A particle and its mirror image share a step: what they have in common, which tells
        # nothing of their classes, then pulls the network neither way.
        place = np.empty(self._n_crops, dtype=np.int64)
        place[shuffled] = np.arange(len(shuffled))
        order = used[np.argsort(place[rows], kind="stable")]
        return np.array_split(order, -(-len(order) // self._plan.loop.batch_size))

    def make(self, epoch: Epoch, steps: Sequence[Indices], *, n_views: int) -> Iterator[Batch]:
        """Yield this worker's share of every step."""
        plan, device, samples = self._plan, self._team.device, self._samples
        shares = [np.flatnonzero(self._owned[step]) for step in steps]
        # A worker without a share of a step takes part with a sample that does not count.
        mine = [b[s] if len(s) else b[:1] for b, s in zip(steps, shares, strict=True)]
        crops_of = self._loader.batches([samples.rows[batch] for batch in mine])
        for whole, share, batch, crops in zip(steps, shares, mine, crops_of, strict=True):
            images = to_tensor(crops, device)
            mirrored = torch.from_numpy(samples.mirrored[batch]).to(device)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
            keys = samples.keys[batch]
            views = tuple(
                augment(
                    images,
                    draw_uniforms(keys, seed=plan.seed, epoch=epoch.number, view=view),
                    plan.augmentation,
                    input_px=plan.view.input_px,
                    noise=self._noise,
                ).contiguous(memory_format=torch.channels_last)
                for view in range(n_views)
            )
            given = torch.from_numpy(samples.given_labels[batch]).to(device)
            places = None
            if self._team.size > 1:
                places = torch.from_numpy(share if len(share) else np.array([-1])).to(device)
            yield Batch(views, given, torch.from_numpy(batch).to(device), places, len(whole))
