"""Square patches of mosaics: where they lie, what they look like, where they are from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Patches:
    """Patches that know their image and session.

    Attributes
    ----------
    pixels : (N, S, S) ndarray of float32
        As they are in the mosaic.
    images, sessions : (N,) ndarray of str
        Where each is from.
    origins_yx : (N, 2) ndarray of int
        First pixel of each in its mosaic.
    is_defect : (N,) ndarray of bool
        Whether a known defect's centre lies in it.
    is_doubtful : (N,) ndarray of bool
        Whether it only touches a defect: neither one nor the other, and never learnt from.
    """

    pixels: Floats
    images: NDArray[np.str_]
    sessions: NDArray[np.str_]
    origins_yx: NDArray[np.int64]
    is_defect: NDArray[np.bool_]
    is_doubtful: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def edge_px(self) -> int:
        """Edge of a patch."""
        return int(self.pixels.shape[-1])

    @property
    def is_clean(self) -> NDArray[np.bool_]:
        """Whether nothing is known to be wrong with it."""
        clean: NDArray[np.bool_] = ~(self.is_defect | self.is_doubtful)
        return clean

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Patches":
        """Return some of them."""
        return Patches(
            self.pixels[rows],
            self.images[rows],
            self.sessions[rows],
            self.origins_yx[rows],
            self.is_defect[rows],
            self.is_doubtful[rows],
        )

    def with_pixels(self, pixels: Floats) -> "Patches":
        """Return the same with other pixels."""
        return replace(self, pixels=pixels)


def make_patches(
    pixels: NDArray[np.floating],
    *,
    images: NDArray[np.str_] | None = None,
    sessions: NDArray[np.str_] | None = None,
    origins_yx: NDArray[np.int64] | None = None,
    is_defect: NDArray[np.bool_] | None = None,
    is_doubtful: NDArray[np.bool_] | None = None,
) -> Patches:
    """Make patches; without more said, each is clean and an image of its own.

    Parameters
    ----------
    pixels : (N, S, S) ndarray
        Pixels.
    images, sessions, origins_yx, is_defect, is_doubtful : ndarray, optional
        As in `Patches`.

    Raises
    ------
    SettingsError
        If they are not square, or a pixel is not finite.
    """
    given = np.asarray(pixels)
    if given.ndim != 3 or given.shape[1] != given.shape[2]:
        raise SettingsError(f"patches must be of shape (N, S, S), got {given.shape}")
    bad = np.flatnonzero(~np.isfinite(given).all(axis=(1, 2)))
    if len(bad):
        raise SettingsError(f"patches must be finite, and {len(bad)} are not; first {bad[0]}")
    n = len(given)
    names = np.array([f"image-{i}" for i in range(n)]) if images is None else np.asarray(images)
    nothing = np.zeros(n, bool)
    return Patches(
        pixels=given.astype(np.float32),
        images=names,
        sessions=names if sessions is None else np.asarray(sessions),
        origins_yx=np.zeros((n, 2), np.int64) if origins_yx is None else origins_yx,
        is_defect=nothing if is_defect is None else np.asarray(is_defect, bool),
        is_doubtful=nothing if is_doubtful is None else np.asarray(is_doubtful, bool),
    )


def plan_grid(shape: tuple[int, int], *, patch_px: int, stride_px: int) -> NDArray[np.int64]:
    """Lay patches over an image so that every pixel is in one; the last ones end at its edge.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    patch_px : int
        Edge of a patch.
    stride_px : int
        Distance of patches; smaller than ``patch_px`` they overlap.

    Returns
    -------
    origins_yx : (N, 2) ndarray of int
        In row-major order.

    Raises
    ------
    SettingsError
        If the image is smaller than a patch, or the stride would leave gaps.

    Examples
    --------
    >>> plan_grid((5, 8), patch_px=4, stride_px=4).tolist()
    [[0, 0], [0, 4], [1, 0], [1, 4]]
    """
    if patch_px < 1 or not 1 <= stride_px <= patch_px:
        raise SettingsError(
            f"--stride-px must be 1 to --patch-px, got --stride-px {stride_px}, "
            f"--patch-px {patch_px}"
        )
    if min(shape) < patch_px:
        raise SettingsError(
            f"--patch-px must not exceed the image, got {patch_px} for an image of "
            f"{shape[0]} x {shape[1]} px"
        )
    ys, xs = (_starts(size, patch_px, stride_px) for size in shape)
    grid: NDArray[np.int64] = np.stack(np.meshgrid(ys, xs, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid


def cut(image: NDArray[np.generic], origins_yx: NDArray[np.int64], patch_px: int) -> Floats:
    """Cut patches (N, S, S) out of an image."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch_px, patch_px))
    cut_out: Floats = windows[origins_yx[:, 0], origins_yx[:, 1]].astype(np.float32)
    return cut_out


def assemble(patches: Patches) -> Floats | None:
    """Put the patches of one image together again; None if they leave gaps or are scattered."""
    edge, first = patches.edge_px, patches.origins_yx.min(axis=0)
    shape = patches.origins_yx.max(axis=0) - first + edge
    n_places = len(np.unique(patches.origins_yx, axis=0))
    if len(patches) < 2 or n_places < len(patches) or shape.prod() > len(patches) * edge**2:
        return None
    image = np.full(shape, np.nan, np.float32)
    for pixels, (y, x) in zip(patches.pixels, patches.origins_yx - first, strict=True):
        image[y : y + edge, x : x + edge] = pixels
    return None if np.isnan(image).any() else image


def normalise(pixels: Floats) -> Floats:
    """Bring every patch to mean 0 and sd 1; a constant patch becomes 0."""
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    sd = pixels.std(axis=(1, 2), keepdims=True)
    # A constant patch's sd is rounding, not contrast.
    usable = sd > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    normalised: Floats = np.where(usable, (pixels - mean) / np.where(usable, sd, 1), 0)
    return normalised.astype(np.float32)


def is_constant(pixels: Floats) -> NDArray[np.bool_]:
    """Tell which patches have one value everywhere."""
    constant: NDArray[np.bool_] = np.ptp(pixels, axis=(1, 2)) == 0
    return constant


def turn(pixels: Floats, *, keep_hand: bool, rng: np.random.Generator) -> Floats:
    """Turn every patch by a multiple of 90 degrees, by lot; mirror some unless the hand counts."""
    turned = pixels.copy()
    quarter = rng.integers(4, size=len(pixels))
    for k in (1, 2, 3):
        turned[quarter == k] = np.rot90(pixels[quarter == k], k, axes=(1, 2))
    if not keep_hand:
        mirrored = rng.random(len(pixels)) < 0.5
        turned[mirrored] = turned[mirrored][:, :, ::-1]
    return turned


def _starts(size: int, patch_px: int, stride_px: int) -> NDArray[np.int64]:
    starts = np.arange(0, size - patch_px + 1, stride_px)
    if starts[-1] != size - patch_px:
        starts = np.append(starts, size - patch_px)
    return starts.astype(np.int64)
