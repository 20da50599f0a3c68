"""Nearest neighbours by matrix products: exact, in pieces that fit a cache."""

import torch
from torch import Tensor

#: Rows of queries that are compared at once.
CHUNK = 4096


def nearest(queries: Tensor, bank: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Find the ``k`` nearest rows of a bank for every query.

    Squared distances come from one matrix product, |a|^2 + |b|^2 - 2 a.b; those of the chosen
    rows are then computed again from differences, since the product loses digits where two rows
    nearly meet.

    Parameters
    ----------
    queries : (N, D) tensor
        Rows to look for.
    bank : (M, D) tensor
        Rows to find; ``k`` is lowered to M.
    k : int
        Neighbours.

    Returns
    -------
    distances, rows : (N, k) tensors
        Nearest first.
    """
    k = min(k, len(bank))
    # Around their middle numbers are small, and the product loses fewer digits.
    middle = bank.mean(dim=0)
    centred = bank - middle
    half_norms = (centred**2).sum(dim=1) / 2
    distances = queries.new_empty((len(queries), k))
    rows = torch.empty((len(queries), k), dtype=torch.long, device=queries.device)
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK] - middle
        # The query's own norm does not change which row is nearest.
        closeness = torch.addmm(half_norms, part, centred.T, beta=-1)
        found = closeness.topk(k, dim=1).indices if k > 1 else closeness.argmax(1, keepdim=True)
        exact = torch.linalg.vector_norm(part[:, None] - centred[found], dim=2)
        order = exact.argsort(dim=1)
        distances[start : start + CHUNK] = exact.gather(1, order)
        rows[start : start + CHUNK] = found.gather(1, order)
    return distances, rows


def choose_coreset(rows: Tensor, n: int, *, n_projected: int = 24, seed: int) -> Tensor:
    """Choose rows that leave none far from a chosen one: greedy k-centre, as in PatchCore.

    Parameters
    ----------
    rows : (N, D) tensor
        Features.
    n : int
        How many to choose.
    n_projected : int
        Dimensions of the random projection in which distances are taken.
    seed : int
        Of the projection.

    Returns
    -------
    chosen : (min(n, N),) tensor of int
    """
    draw = torch.Generator().manual_seed(seed)
    projection = torch.randn((rows.shape[1], n_projected), generator=draw) / n_projected**0.5
    points = rows @ projection
    norms = (points**2).sum(dim=1)
    chosen = torch.zeros(min(n, len(rows)), dtype=torch.long)
    far = torch.full((len(rows),), torch.inf)
    for i in range(1, len(chosen)):
        last = points[chosen[i - 1]]
        far = torch.minimum(far, norms + norms[chosen[i - 1]] - 2 * (points @ last))
        chosen[i] = far.argmax()
    return chosen
