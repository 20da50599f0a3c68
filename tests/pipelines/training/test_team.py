import numpy as np
import torch
from torch import nn

from pipelines.training.team import Team


def test_alone_a_worker_leads_owns_and_decides():
    alone = Team()
    network = nn.Linear(2, 2)
    state = {"target": torch.tensor([1.0, 2.0])}

    assert alone.leads
    assert alone.owns(np.arange(4)).all()
    assert alone.join(network) is network
    assert alone.decide(True) is True
    assert alone.gather(state, np.array([True, True])) == state


def test_every_particle_has_one_owner_and_its_samples_share_it():
    rows = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])  # each particle and its mirror image

    owned = np.stack([Team(rank, 3).owns(rows) for rank in range(3)])

    assert (owned.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(owned[:, :5], owned[:, 5:])
