"""What a fit hands back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FitResult:
    """A fitted segmenter.

    Attributes
    ----------
    model : Path
        The model's folder: ``weights.safetensors`` and ``config.json``.
    history : sequence of mapping
        One entry per epoch: ``epoch``, ``loss``, ``rate``, and with weak sources
        ``weak_agreement``, the IoU of what the network finds with the masks as they were given.
    metrics : mapping
        Last figures: ``loss``; with images held out, ``f1_50``, ``f1_75``, ``pq`` pooled over them
        and ``f1_50_median``; ``correction_epoch`` where masks were corrected.
    digests : mapping
        ``weights``, ``plan`` and ``data``: what must be equal for a fit to be the same.
    """

    model: Path
    history: Sequence[Mapping[str, float]]
    metrics: Mapping[str, float]
    digests: Mapping[str, str]
