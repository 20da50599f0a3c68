"""What a way of learning from imperfect labels must be able to do; the loop knows no more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

#: Logits of every network for every training sample, undisturbed: (n_networks, N, K).
PredictAll = Callable[[], Tensor]


@dataclass(frozen=True)
class Batch:
    """Some training samples.

    Attributes
    ----------
    views : tuple of (B, 1, H, W) tensor
        As many independently augmented views of each sample as the method asked for.
    given_labels : (B,) tensor of int
        Class indices, perhaps wrong.
    samples : (B,) tensor of int
        Which samples these are, 0 to N - 1: the index into whatever the method keeps per sample.
    """

    views: tuple[Tensor, ...]
    given_labels: Tensor
    samples: Tensor

    @property
    def images(self) -> Tensor:
        """The first view."""
        return self.views[0]


class Method:
    """A way of learning; each lives in one file of its own and overrides what differs.

    Attributes
    ----------
    n_networks : int
        How many networks it trains; they share architecture and batches, not their beginnings.
    n_views : int
        How many independently augmented views of each sample it wants.

    Parameters
    ----------
    networks : sequence of Module
        The networks, ready to be called; on several workers they average gradients by themselves.
    n_samples, n_classes : int
        Size of the training set, and number of classes.
    options : mapping
        The method's own numbers, from settings.
    """

    n_networks = 1
    n_views = 1

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        n_samples: int,
        n_classes: int,
        options: Mapping[str, float],
    ) -> None:
        unknown = sorted(set(options) - set(self.default_options()))
        if unknown:
            raise ValueError(f"method has no option {', '.join(unknown)}")
        self.networks = list(networks)
        self.n_samples = n_samples
        self.n_classes = n_classes
        self.options = {**self.default_options(), **options}

    @staticmethod
    def default_options() -> Mapping[str, float]:
        """Return the method's options with their defaults."""
        return {}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Prepare for an epoch, 0 to ``n_epochs - 1``; predictions are made only if asked for."""

    def loss(self, batch: Batch) -> Tensor:
        """Return what to minimise: the sum over networks of each one's mean loss.

        The networks share no parameters, so the gradient of the sum is each one's own.
        """
        raise NotImplementedError

    def sample_state(self) -> dict[str, Tensor]:
        """Return what is kept per sample, as tensors whose first axis has N entries.

        They are written into checkpoints by the samples' keys, so they survive any reordering.
        On several workers each sample has one owner, in every epoch the same, and only the
        owner's entries count.
        """
        return {}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `sample_state` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps nothing per sample")
