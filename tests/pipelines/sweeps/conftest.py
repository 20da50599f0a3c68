"""A small study set of glyphs of both hands, drawn and not simulated."""

import numpy as np
import pytest
import torch

from pipelines.classifiers.plan import plan_view
from pipelines.sweeps.study_set import CONTROL, LEARN, TEST, write_study_set
from pipelines.training.augmentation import Augmentation

N = 140
INPUT_PX = 24


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(hand, rng, size_px):
    """An L whose foot points right for the right hand, left for the left one; a bar for none."""
    image = rng.normal(-0.8, 0.1, (size_px, size_px))
    middle = size_px // 2
    image[middle - 7 : middle + 7, middle - 2 : middle + 2] = 0.9
    if hand >= 0:
        foot = slice(middle + 2, middle + 7) if hand == 1 else slice(middle - 7, middle - 2)
        image[middle + 3 : middle + 7, foot] = 0.9
    return image


@pytest.fixture
def study(tmp_path):
    """100 right-handed to learn from, 20 of each hand to test on, 20 without any."""
    rng = np.random.default_rng(0)
    augmentation = Augmentation(any_rotation=True, shift=0.02, zoom=0.05, noise=0.05)
    view = plan_view(48.0, in_nm=True, input_px=INPUT_PX, aligned=False, augmentation=augmentation)
    hands = np.repeat([1, 1, 0, -1], [100, 10, 10, 20])
    crops = np.stack([draw(hand, rng, view.read_px) for hand in hands])
    return write_study_set(
        tmp_path / "study",
        crops.astype(np.float16),
        particle_ids=np.arange(1000, 1000 + N),
        true_labels=hands,
        groups=np.repeat([LEARN, TEST, CONTROL], [100, 20, 20]),
        difficulty=rng.normal(size=N),
        order=np.arange(N, dtype=float),
        classes=["left", "right"],
        mirrored_class=[1, 0],
        view=view,
        augmentation=augmentation,
        origin={"mosaics": {"drawn": "d"}, "segmentations": ["s"]},
    )
