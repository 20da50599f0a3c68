"""Draw a scene and render its tiles, on any number of processes, always the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError
from pipelines.randomness import generator
from pipelines.records import Window
from pipelines.simulation.acquisition import Acquisition, TileScan, draw_acquisition
from pipelines.simulation.particle import Hand, Particle, draw_debris, draw_particle
from pipelines.simulation.presets import Preset
from pipelines.simulation.render import margin, reaches, render_tile, widened
from pipelines.simulation.scene import FULL, Scene, place, scatter, too_many
from pipelines.simulation.truth import Sighting, flipped, sightings
from pipelines.simulation.visibility import isolated
from pipelines.simulation.workers import Workers

Mirror = Literal["true-enantiomer", "image"]

#: A particle fewer pixels long than this shows no facets.
SHORTEST_PX = 16
_CHUNK = 256


@dataclass(frozen=True)
class Order:
    """What is to be simulated.

    Attributes
    ----------
    size_px : int
        Edge of the square mosaic.
    n_particles : int
        How many particles lie in it.
    left_fraction : float
        Share that is left-handed, met to the nearest particle.
    preset : Preset
        What the particles and the microscope are like.
    seed : int
        Seed of everything.
    pixel_size_nm : float
        Edge of a pixel. Particles keep their size in nanometres.
    achiral : bool
        Whether the particles are made without twist.
    mirror : {"true-enantiomer", "image"}, optional
        Mirror the specimen under the same acquisition, or the finished image.
    """

    size_px: int
    n_particles: int
    left_fraction: float
    preset: Preset
    seed: int
    pixel_size_nm: float
    achiral: bool = False
    mirror: Mirror | None = None


@dataclass(frozen=True)
class Delivery:
    """A finished tile, what shows in it, and how the particles centred in it look alone."""

    window: Window
    grey: NDArray[np.uint8]
    instances: NDArray[np.uint32]
    found: list[Sighting]
    alone: dict[int, tuple[float, int]]


@dataclass(frozen=True)
class _Job:
    scene: Scene
    acquisition: Acquisition
    tile: TileScan
    preset: Preset
    pixel_size_nm: float
    flip: bool


def default_count(preset: Preset, size_px: int, pixel_size_nm: float) -> int:
    """Tell how many particles a mosaic of this size holds at the preset's density."""
    area_um2 = (size_px * pixel_size_nm / 1000) ** 2
    return max(round(preset.crowding.particles_per_um2 * area_um2), 1)


def check(order: Order) -> None:
    """Refuse what cannot be drawn.

    Raises
    ------
    SettingsError
        Naming the flag, the rule and the value.
    """
    length_px = order.preset.shapes.length_nm / order.pixel_size_nm
    if length_px < SHORTEST_PX:
        largest = order.preset.shapes.length_nm / SHORTEST_PX
        raise SettingsError(
            f"--pixel-size-nm: particles would be shorter than {SHORTEST_PX} px; "
            f"at most {largest:g}, got {order.pixel_size_nm:g}"
        )
    least_px = int(np.ceil(length_px * np.exp(2.5 * order.preset.shapes.length_sigma)))
    if order.size_px < least_px:
        raise SettingsError(
            f"--size-px: must hold one particle, at least {least_px}, got {order.size_px}"
        )
    # The exact rule needs the particles; this one spares drawing far too many of them.
    if order.n_particles * np.pi * (0.4 * length_px) ** 2 > FULL * order.size_px**2:
        raise too_many(order.n_particles, order.size_px)


def draw_scene(order: Order, pool: Workers) -> tuple[Scene, Acquisition]:
    """Draw the specimen, and how it is acquired.

    Raises
    ------
    SettingsError
        If the particles do not fit.
    """
    preset, seed = order.preset, order.seed
    hands = _hands(order)
    chunks = [
        (order, start, hands[start : start + _CHUNK]) for start in range(0, len(hands), _CHUNK)
    ]
    particles = [particle for some in pool.map(_draw_some, chunks) for particle in some]
    placed = place(
        particles,
        order.size_px,
        preset.crowding,
        pixel_size_nm=order.pixel_size_nm,
        rng=generator(seed, "places"),
    )
    area_um2 = (order.size_px * order.pixel_size_nm / 1000) ** 2
    debris = [
        draw_debris(seed, index, preset.crowding, pixel_size_nm=order.pixel_size_nm)
        for index in range(round(preset.crowding.debris_per_um2 * area_um2))
    ]
    scene = Scene(
        size_px=order.size_px,
        seed=seed,
        particles=placed,
        debris=scatter(debris, order.size_px, rng=generator(seed, "debris places")),
        texture=preset.crowding.texture,
    )
    if order.mirror == "true-enantiomer":
        scene = scene.mirrored()
    return scene, draw_acquisition(seed, order.size_px, preset.scan)


def particles_shown(order: Order, scene: Scene) -> tuple[Particle, ...]:
    """Give the particles as the finished mosaic shows them."""
    return scene.mirrored().particles if order.mirror == "image" else scene.particles


def render_scene(
    order: Order, scene: Scene, acquisition: Acquisition, pool: Workers, *, block_px: int
) -> Iterator[Delivery]:
    """Render all tiles, block by block of the finished mosaic.

    Parameters
    ----------
    order : Order
        What is simulated.
    scene, acquisition : Scene, Acquisition
        From `draw_scene`.
    pool : Workers
        Where tiles are rendered.
    block_px : int
        Edge of the blocks in whose order tiles come, in pixels.
    """
    flip = order.mirror == "image"
    margin_px = margin(order.preset, order.pixel_size_nm)

    def turn(tile: TileScan) -> tuple[int, int, int, int]:
        y0, x0 = tile.window.y0, tile.window.x0
        if flip:
            x0 = order.size_px - tile.window.x1
        return y0 // block_px, x0 // block_px, y0, x0

    jobs = (
        _Job(
            scene=_near(scene, widened(tile.window, margin_px)),
            acquisition=replace(acquisition, tiles=()),
            tile=tile,
            preset=order.preset,
            pixel_size_nm=order.pixel_size_nm,
            flip=flip,
        )
        for tile in sorted(acquisition.tiles, key=turn)
    )
    return pool.map(_deliver, jobs)


def _hands(order: Order) -> list[Hand]:
    """Choose the hands before anything is drawn: an exact count, in random order."""
    if order.achiral:
        return ["none"] * order.n_particles
    n_left = round(order.left_fraction * order.n_particles)
    lefts = generator(order.seed, "hands").permutation(order.n_particles) < n_left
    return ["left" if is_left else "right" for is_left in lefts]


def _draw_some(chunk: tuple[Order, int, Sequence[Hand]]) -> list[Particle]:
    order, start, hands = chunk
    return [
        draw_particle(
            order.seed,
            start + k,
            hand,
            shapes=order.preset.shapes,
            facet_spread=order.preset.contrast.facet_spread,
            particle_spread=order.preset.contrast.particle_spread,
            pixel_size_nm=order.pixel_size_nm,
        )
        for k, hand in enumerate(hands)
    ]


def _near(scene: Scene, window: Window) -> Scene:
    return replace(
        scene,
        particles=tuple(p for p in scene.particles if reaches(p.piece, window)),
        debris=tuple(piece for piece in scene.debris if reaches(piece, window)),
    )


def _deliver(job: _Job) -> Delivery:
    """Render a tile, and flip it where the finished image is mirrored."""
    rendered = render_tile(job.scene, job.acquisition, job.tile, job.preset, job.pixel_size_nm)
    window, size_px = rendered.window, job.scene.size_px
    found = sightings(rendered.instances, window)
    alone = {
        particle.piece.instance: isolated(particle.piece, job.preset, job.pixel_size_nm)
        for particle in job.scene.particles
        if _holds(window, particle.piece.centre_yx)
    }
    grey, instances = rendered.grey, rendered.instances
    if job.flip:
        window = Window(window.y0, size_px - window.x1, window.y1, size_px - window.x0)
        found = [flipped(sighting, size_px) for sighting in found]
        grey, instances = grey[:, ::-1], instances[:, ::-1]
    return Delivery(window, grey, instances, found, alone)


def _holds(window: Window, point_yx: tuple[float, float]) -> bool:
    y, x = point_yx
    return window.y0 <= y < window.y1 and window.x0 <= x < window.x1
