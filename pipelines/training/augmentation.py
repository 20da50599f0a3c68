"""Change crops as another shot of the same particle could: never its hand.

Every geometric change is a rotation, a positive zoom and a shift, so its determinant is positive
and handedness stays. Mirror images are samples of their own (`pipelines.training.samples`).
Random numbers are keyed by seed, epoch and sample: any number of workers draws the same.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipelines.randomness import generator, mix, to_unit

_NOISE_EDGE_PX = 256
#: Random numbers that one sample takes.
_N_DRAWS = 16


@dataclass(frozen=True)
class Augmentation:
    """How far crops may be changed; a zero switches a change off.

    Attributes
    ----------
    any_rotation : bool
        Turn by any angle.
    half_turns : bool
        Otherwise, turn by half a turn or not at all: for aligned crops, whose axis has no
        direction.
    tilt_deg : float
        Largest further turn, either way, in degrees.
    shift : float
        Largest shift along each axis, as a share of the crop's edge.
    zoom : float
        Largest change of size: by a factor of at most 1 + zoom, or its inverse.
    contrast, brightness, gamma : float
        Largest change of the grey values' range, middle (in half ranges) and exponent.
    blur, noise : float
        Largest strength of a 3 x 3 blur (0 to 1), and of white noise (in half ranges).
    cut_out : float
        Largest edge of a blanked rectangle, as a share of the crop's edge.
    """

    any_rotation: bool = False
    half_turns: bool = True
    tilt_deg: float = 10.0
    shift: float = 0.05
    zoom: float = 0.15
    contrast: float = 0.2
    brightness: float = 0.1
    gamma: float = 0.2
    blur: float = 0.5
    noise: float = 0.1
    cut_out: float = 0.0


def margin(augmentation: Augmentation) -> float:
    """Return how much wider than the network's input crops must be read.

    Rotations look beyond the edges of an upright square; tests may turn crops even if training
    does not.
    """
    tilt = math.pi / 4 if augmentation.any_rotation else math.radians(augmentation.tilt_deg)
    tilt = min(tilt, math.pi / 4)
    turned = math.cos(tilt) + math.sin(tilt)
    return turned + 2 * augmentation.shift


def draw_uniforms(
    keys: NDArray[np.int64], *, seed: int, epoch: int, view: int = 0
) -> NDArray[np.float64]:
    """Draw the random numbers of each sample: (n, 16), at least 0 and below 1.

    Parameters
    ----------
    keys : (n,) ndarray of int
        The samples' keys, which alone tell samples apart.
    seed, epoch, view : int
        Whatever else the numbers depend on; ``view`` counts several changes of one sample.
    """
    salt = generator(seed, "augment", epoch, view).integers(2**64, dtype=np.uint64)
    state = mix(mix(keys.astype(np.uint64)) ^ salt)
    steps = np.arange(1, _N_DRAWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return to_unit(mix(state[:, None] + steps))


def noise_bank(seed: int, device: torch.device) -> Tensor:
    """Make the square of white noise that samples take windows from, wrapped around."""
    shape = (_NOISE_EDGE_PX, _NOISE_EDGE_PX)
    noise = generator(seed, "noise").standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(noise).to(device)


def augment(
    crops: Tensor,
    uniforms: NDArray[np.float64],
    augmentation: Augmentation,
    *,
    input_px: int,
    noise: Tensor,
) -> Tensor:
    """Change every crop by its own random numbers.

    Parameters
    ----------
    crops : (n, 1, S, S) tensor
        Scaled crops, wider than the input by `margin`.
    uniforms : (n, 16) ndarray
        From `draw_uniforms`.
    augmentation : Augmentation
        How far to go.
    input_px : int
        Edge of the network's input.
    noise : (256, 256) tensor
        From `noise_bank`.

    Returns
    -------
    images : (n, 1, input_px, input_px) tensor
    """
    a = augmentation
    draws = torch.from_numpy(uniforms).to(crops.device, torch.float32)
    spread = 2 * draws - 1
    half_turns = (draws[:, 0] >= 0.5).float() * a.half_turns
    turns = 2 * draws[:, 0] if a.any_rotation else half_turns
    angles = math.pi * turns + math.radians(a.tilt_deg) * spread[:, 1]
    zooms = torch.exp(math.log1p(a.zoom) * spread[:, 2])
    shifts = a.shift * input_px * spread[:, 3:5]
    images = resample(crops, angles, zooms, shifts, input_px=input_px)
    if a.blur:
        images = torch.lerp(images, _blurred(images), a.blur * _columns(draws, 5))
    if a.gamma:
        exponents = torch.exp(math.log1p(a.gamma) * _columns(spread, 6))
        images = 2 * ((images + 1) / 2).clamp(min=0) ** exponents - 1
    images = images * (1 + a.contrast * _columns(spread, 7)) + a.brightness * _columns(spread, 8)
    if a.noise:
        # Mostly little noise, now and then much.
        strength = a.noise * _columns(draws, 9) ** 2
        images = images + strength * _noise_windows(noise, draws[:, 10:12], input_px)
    if a.cut_out:
        images = images * _outside_rectangle(draws[:, 12:16], a.cut_out, input_px)
    return images


def resample(
    crops: Tensor, angles_rad: Tensor, zooms: Tensor, shifts_px: Tensor, *, input_px: int
) -> Tensor:
    """Turn, zoom and shift crops about their centres, and cut the input from them.

    Parameters
    ----------
    crops : (n, 1, S, S) tensor
        Crops.
    angles_rad : (n,) tensor
        Direction that becomes downwards, from the downward y axis towards the x axis.
    zooms : (n,) tensor
        Pixels of the crop per pixel of the image; positive.
    shifts_px : (n, 2) tensor
        Where the image's centre lies in the crop, from the crop's own, (y, x).
    input_px : int
        Edge of the images.
    """
    size = crops.shape[-1]
    ticks = torch.arange(input_px, device=crops.device, dtype=torch.float32) - (input_px - 1) / 2
    v, u = ticks[:, None], ticks[None, :]
    cos = (zooms * torch.cos(angles_rad))[:, None, None]
    sin = (zooms * torch.sin(angles_rad))[:, None, None]
    # (u, v) -> (x, y) has determinant zoom**2 > 0.
    x = cos * u + sin * v + shifts_px[:, 1, None, None]
    y = -sin * u + cos * v + shifts_px[:, 0, None, None]
    grid = torch.stack([x, y], dim=-1) * (2 / max(size - 1, 1))
    return F.grid_sample(crops, grid, padding_mode="border", align_corners=True)


def averaging_angles(n_rotations: int, *, any_rotation: bool, tilt_deg: float = 8.0) -> list[float]:
    """Return the angles, in radians, under which predictions are averaged.

    With every angle its opposite is there, so that averaging keeps what mirrors do to predictions.

    Parameters
    ----------
    n_rotations : int
        How many: 1, 2, 4 or 8.
    any_rotation : bool
        Spread over the whole turn; otherwise half upright, half upside down, tilted a little.
    tilt_deg : float
        Largest tilt of aligned crops, in degrees.
    """
    if n_rotations not in (1, 2, 4, 8):
        raise ValueError(f"n_rotations must be 1, 2, 4 or 8, got {n_rotations}")
    if any_rotation:
        return [2 * math.pi * k / n_rotations for k in range(n_rotations)]
    if n_rotations == 1:
        return [0.0]
    tilts: NDArray[Any] = np.linspace(-1, 1, n_rotations // 2) if n_rotations > 2 else np.zeros(1)
    return [half + math.radians(tilt_deg) * float(t) for half in (0.0, math.pi) for t in tilts]


def _columns(values: Tensor, index: int) -> Tensor:
    return values[:, index, None, None, None]


def _blurred(images: Tensor) -> Tensor:
    taps = torch.tensor([0.25, 0.5, 0.25], device=images.device)
    kernel = torch.outer(taps, taps)[None, None]
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel)


def _noise_windows(noise: Tensor, corners: Tensor, input_px: int) -> Tensor:
    ticks = torch.arange(input_px, device=noise.device)
    starts = (corners * _NOISE_EDGE_PX).long()
    y = (starts[:, 0, None] + ticks) % _NOISE_EDGE_PX
    x = (starts[:, 1, None] + ticks) % _NOISE_EDGE_PX
    return noise[y[:, :, None], x[:, None, :]][:, None]


def _outside_rectangle(draws: Tensor, share: float, input_px: int) -> Tensor:
    """Return 0 inside each sample's rectangle and 1 outside."""
    ticks = torch.arange(input_px, device=draws.device, dtype=torch.float32) + 0.5
    edges = draws[:, 2:4] * share * input_px / 2
    centres = draws[:, 0:2] * input_px
    inside = (ticks - centres[:, :, None]).abs() < edges[:, :, None]
    return 1 - (inside[:, 0, :, None] & inside[:, 1, None, :]).float()[:, None]
