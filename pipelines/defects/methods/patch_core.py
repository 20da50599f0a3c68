"""PatchCore (Roth et al., 2022): places that are like no place of a normal patch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.defects.features import (
    PlaceEncoder,
    get_features,
    places_of,
    sample_places,
    to_pixels,
)
from pipelines.defects.learning import BATCH_N, load_arrays, to_arrays, to_tensor
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.nearest import choose_coreset, nearest
from pipelines.defects.patch_maps import PatchMapper
from pipelines.defects.patches import Floats, Patches
from pipelines.randomness import generator

#: Neighbours that say how lonely the nearest known place is.
N_NEIGHBOURS = 9
#: Share of places that are kept, and bounds on what they are chosen from and on how many.
CORESET_SHARE, MOST_PLACES, LARGEST_BANK = 0.02, 60_000, 1500


@dataclass(frozen=True)
class PatchCore(PatchMapper):
    """Distance to the nearest of a few well chosen normal places."""

    name: str = "patch-core"
    summary: str = "distance of every place to the nearest normal one, on features learnt here"
    diet: Diet = "clean"
    #: A file of weights to use instead of learning them.
    features: str | None = None

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn features, and choose the places to keep."""
        encoder = get_features(self.features, patches, seed=seed, watch=watch)
        rng = generator(seed, "patch-core")
        places = sample_places(encoder, patches, MOST_PLACES, rng=rng)
        scale = places.std(dim=0).clamp_min(1e-6)
        places = places / scale
        n = min(max(64, round(CORESET_SHARE * len(places))), LARGEST_BANK)
        bank = places[choose_coreset(places, n, seed=seed)]
        arrays = {**to_arrays(encoder), "bank": bank.numpy(), "scale": scale.numpy()}
        return DefectModel(self.name, patches.edge_px, arrays)

    def score_pixels(self, model: DefectModel, pixels: Floats) -> Floats:
        """Return the distance to normal places at every pixel."""
        encoder = load_arrays(PlaceEncoder(), model)
        bank = torch.from_numpy(np.array(model.arrays["bank"]))
        scale = torch.from_numpy(np.array(model.arrays["scale"]))
        _, neighbours = nearest(bank, bank, N_NEIGHBOURS)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH_N):
                features = encoder(to_tensor(pixels[start : start + BATCH_N]))
                places = places_of(features) / scale
                values = reweigh(places, bank, neighbours)
                shape = (len(features), *features.shape[2:])
                parts.append(to_pixels(values.reshape(shape), pixels.shape[1]))
        return np.concatenate(parts)


def reweigh(places: Tensor, bank: Tensor, neighbours: Tensor) -> Tensor:
    """Return distances to the nearest known place, weighed by how lonely that place is."""
    distance, row = nearest(places, bank, 1)
    # Compared are the place's distances to its nearest one and to that one's neighbours.
    around = bank[neighbours[row[:, 0]]]
    distances = torch.linalg.vector_norm(places[:, None] - around, dim=2)
    root = places.shape[1] ** 0.5
    weights = 1 - torch.softmax(distances / root, dim=1)[:, 0]
    return weights * distance[:, 0]


DETECTOR = PatchCore()
