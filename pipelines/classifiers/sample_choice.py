"""Which particles a training learns from, under which labels."""

import numpy as np

from pipelines.classifiers.plan import TrainPlan
from pipelines.errors import SettingsError
from pipelines.randomness import hash_to_unit
from pipelines.training.phases import Epoch
from pipelines.training.samples import UNKNOWN, Samples, plain_samples, with_mirror_images
from pipelines.training.splits import CLEAN_SMALL, TRAIN


def choose_samples(plan: TrainPlan, epochs: list[Epoch]) -> tuple[Samples, Samples]:
    """Return all particles as plain samples, and the samples that are learnt from.

    Raises
    ------
    SettingsError
        If the method spends trusted labels and there are none.
    """
    everyone = np.arange(len(plan.particles))
    ids = plan.particles.particle_ids
    plain = plain_samples(everyone, ids, plan.given_labels, plan.true_labels)
    used = (plan.roles == TRAIN) & (plan.given_labels != UNKNOWN)
    labels, trusted = plan.given_labels, np.zeros(len(everyone), dtype=bool)
    if any(epoch.phase.part != "noisy" for epoch in epochs):
        trusted = (plan.roles == CLEAN_SMALL) & (plan.true_labels != UNKNOWN)
        if not trusted.any():
            raise SettingsError(
                f"method {plan.method} learns from trusted labels too, and there are none: "
                "set a share of particles of known class apart for it"
            )
        labels = np.where(trusted, plan.true_labels, labels)
    chosen = used | trusted
    samples = plain_samples(everyone, ids, labels, plan.true_labels, trusted).pick(chosen)
    if plan.use_mirror_images or plan.mirrored_share:
        own = plan.mirrored_given_labels
        if own is not None:
            swapped = np.asarray(plan.mirrored_class)[labels]
            own = np.where(trusted, swapped, own)[chosen]
        both = with_mirror_images(samples, plan.mirrored_class, mirrored_given_labels=own)
        if plan.use_mirror_images:
            samples = both
        else:
            places = hash_to_unit(samples.particle_ids, plan.seed, "mirrored")
            own_way = np.arange(len(samples))
            samples = both.pick(own_way + len(samples) * (places < plan.mirrored_share))
    return plain, samples
