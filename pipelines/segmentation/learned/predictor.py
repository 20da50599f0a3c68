"""A network that is ready to predict fields: on a processor block by block, else in batches."""

import torch
from torch import nn

from pipelines.segmentation.learned.fields import Floats

#: Blocks that an accelerator takes at a time.
_BATCH_N_BLOCKS = 16


class FieldPredictor:
    """Predicts probabilities of blocks: foreground and depth, and more if asked.

    On a processor a block's fields do not depend on what else is predicted, to the last bit; on
    an accelerator, which computes in bfloat16, batches are always equally large, and libraries
    promise no more than that: fields there agree within 0.02.
    """

    def __init__(
        self, network: nn.Module, device: torch.device | None = None, *, n_fields: int = 2
    ) -> None:
        if device is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._device = device
        self._network = network.eval().to(device).to(memory_format=torch.channels_last)
        self._n_fields = n_fields
        self.batch_n_blocks = _BATCH_N_BLOCKS if device.type == "cuda" else 1

    @torch.inference_mode()
    def __call__(self, blocks: Floats) -> Floats:
        """Return the fields (N, C, B, B) of blocks (N, B, B)."""
        grey = torch.from_numpy(blocks)[:, None].to(self._device)
        grey = grey.contiguous(memory_format=torch.channels_last)
        fast = self._device.type == "cuda"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=fast):
            fields = self._network(grey)
        fields = fields[:, : self._n_fields].float()
        # Depth and width are said outright, the others as logits.
        fields[:, 0].sigmoid_()
        fields[:, 2:3].sigmoid_()
        found: Floats = fields.cpu().numpy()
        return found
