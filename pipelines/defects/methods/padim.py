"""PaDiM (Defard et al., 2021), its Gaussian pooled over positions: a lattice has no fixed ones."""

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.defects.features import (
    PlaceEncoder,
    get_features,
    places_of,
    sample_places,
    to_pixels,
)
from pipelines.defects.learning import BATCH_N, load_arrays, to_arrays, to_tensor
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patch_maps import PatchMapper
from pipelines.defects.patches import Floats, Patches
from pipelines.randomness import generator

#: Added to the variances, as published.
RIDGE = 0.01
MOST_PLACES = 200_000


@dataclass(frozen=True)
class Padim(PatchMapper):
    """Mahalanobis distance of every place from normal places."""

    name: str = "padim"
    summary: str = "Mahalanobis distance of every place, on features learnt here"
    diet: Diet = "clean"
    #: A file of weights to use instead of learning them.
    features: str | None = None

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn features, their mean and covariance."""
        encoder = get_features(self.features, patches, seed=seed, watch=watch)
        rng = generator(seed, "padim")
        places = sample_places(encoder, patches, MOST_PLACES, rng=rng).double().numpy()
        covariance = np.cov(places, rowvar=False) + RIDGE * np.eye(places.shape[1])
        # Lengths in whitened coordinates are Mahalanobis distances.
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        arrays = {**to_arrays(encoder), "mean": places.mean(axis=0), "whitening": whitening}
        return DefectModel(self.name, patches.edge_px, arrays)

    def score_pixels(self, model: DefectModel, pixels: Floats) -> Floats:
        """Return the distance from normal places at every pixel."""
        encoder = load_arrays(PlaceEncoder(), model)
        mean = torch.from_numpy(np.array(model.arrays["mean"])).float()
        whitening = torch.from_numpy(np.array(model.arrays["whitening"])).float()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH_N):
                features = encoder(to_tensor(pixels[start : start + BATCH_N]))
                distance = ((places_of(features) - mean) @ whitening).norm(dim=1)
                shape = (len(features), *features.shape[2:])
                parts.append(to_pixels(distance.reshape(shape), pixels.shape[1]))
        return np.concatenate(parts)


DETECTOR = Padim()
