import pytest
import torch

from pipelines.defects.nearest import choose_coreset, nearest


@pytest.fixture
def rows():
    draw = torch.Generator().manual_seed(0)
    # Far from zero, where products of floats lose digits.
    return 50 + torch.randn(700, 12, generator=draw), 50 + torch.randn(90, 12, generator=draw)


@pytest.mark.parametrize("k", [1, 9, 500])
def test_neighbours_are_those_that_differences_find(rows, k):
    queries, bank = rows
    naive = (queries[:, None] - bank).norm(dim=2).sort(dim=1)

    distances, found = nearest(queries, bank, k)

    n = min(k, len(bank))
    assert torch.equal(found, naive.indices[:, :n])
    assert torch.allclose(distances, naive.values[:, :n], rtol=1e-4)


def test_a_row_of_the_bank_is_at_no_distance_from_itself(rows):
    _, bank = rows

    distances, found = nearest(bank, bank, 1)

    assert found[:, 0].tolist() == list(range(len(bank)))
    assert (distances < 1e-5).all()


def test_a_coreset_leaves_no_cluster_out():
    centres = 100 * torch.arange(8.0)[:, None] * torch.ones(1, 4)
    draw = torch.Generator().manual_seed(1)
    # The first cluster has nearly all rows.
    sizes = [400, 3, 3, 3, 3, 3, 3, 3]
    cluster = torch.repeat_interleave(torch.arange(8), torch.tensor(sizes))
    points = centres[cluster] + torch.randn(len(cluster), 4, generator=draw)

    chosen = choose_coreset(points, 8, seed=0)

    assert sorted(cluster[chosen].tolist()) == list(range(8))
