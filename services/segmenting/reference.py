"""From what a user calls a method to the model's folder, if the model fits the images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.archive import Archive
from pipelines.errors import SettingsError
from pipelines.mosaic.ome_zarr import MosaicInfo
from pipelines.segmentation.method import load_method
from services.segmenting.choice import Choice, choose

LEARNED, AUTO = "learned", "auto"
#: A model is trusted on pixel sizes and widths up to so much beyond those that it was fitted on:
#: its patches were resampled by about as much.
BEYOND = 1.5


@dataclass(frozen=True)
class Resolved:
    """A method as `pipelines.segmentation` knows it, and what people call it.

    Attributes
    ----------
    method : str
        ``learned:FOLDER``, ``NAME:FILE``, or as it was given.
    said : str
        ``learned:NAME/VERSION``, or as it was given.
    weights_digest : str
        Of a learned one.
    seen : frozenset of str
        Digests of the images that it was fitted on.
    """

    method: str
    said: str
    weights_digest: str = ""
    seen: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def reference(self) -> str:
        """NAME/VERSION of a registered segmenter; nothing for others."""
        kind, _, rest = self.said.partition(":")
        return rest if kind == LEARNED and self.method != self.said else ""


def resolve(archive: Archive, method: str, *, tracking_uri: str | None = None) -> Resolved:
    """Find what a method's name means.

    Parameters
    ----------
    archive : Archive
        Whose registry is asked.
    method : str
        Name of a method, ``learned:NAME``, ``learned:NAME@ALIAS``, ``learned:NAME/VERSION``,
        ``learned:FOLDER``, ``cellpose:FILE``, ``stardist:FOLDER``, ``path/to/file.py:NAME``.
    tracking_uri : str, optional
        An MLflow server.

    Raises
    ------
    SettingsError
        If the name is incomplete.
    ModelError
        If there is no such model, or its files are not those that were registered.
    """
    kind, _, rest = method.partition(":")
    if kind == LEARNED:
        return _resolve_learned(archive, rest, tracking_uri)
    path, _, name = method.rpartition(":")
    # Workers run in other folders.
    if path.endswith(".py"):
        return Resolved(f"{Path(path).resolve()}:{name}", method)
    return Resolved(f"{kind}:{Path(rest).resolve()}" if rest else method, method)


def resolve_all(
    archive: Archive,
    method: str,
    infos: Iterable[MosaicInfo],
    *,
    object_px: float | None = None,
    force: bool = False,
    tracking_uri: str | None = None,
) -> tuple[dict[Resolved, list[str]], Mapping[str, Choice]]:
    """Find the method for each mosaic: the same one, or with ``auto`` the best for its pixel size.

    Returns
    -------
    methods : dict
        Names of mosaics by method.
    choices : mapping
        By mosaic, where something was chosen.

    Raises
    ------
    SettingsError
        If a model does not fit a mosaic, or nothing was chosen for its pixel size.
    ModelError
        As `resolve`.
    """
    methods: dict[Resolved, list[str]] = {}
    choices: dict[str, Choice] = {}
    known: dict[str, Resolved] = {}
    if method != AUTO:
        # A slip in the name is told even where there is nothing to segment.
        known[method] = resolve(archive, method, tracking_uri=tracking_uri)
        load_method(known[method].method)
    for info in infos:
        wanted = method
        if method == AUTO:
            choices[info.name] = choose(archive, info.name, info.pixel_size_nm)
            wanted = choices[info.name].method
        if wanted not in known:
            known[wanted] = resolve(archive, wanted, tracking_uri=tracking_uri)
        if not force:
            check_fit(known[wanted], f"mosaic {info.name}", info.pixel_size_nm, object_px)
        methods.setdefault(known[wanted], []).append(info.name)
    return methods, choices


def check_fit(
    method: Resolved, what: str, pixel_size_nm: float | None, object_px: float | None
) -> None:
    """Refuse a learned method for images unlike those that it was fitted on.

    Raises
    ------
    SettingsError
        If pixel size or width of the objects, where they are known, lie beyond the model's.
    """
    if not method.weights_digest:
        return
    from pipelines.segmentation.learned.model_folder import read_card

    card = read_card(Path(method.method.removeprefix(f"{LEARNED}:")))
    pairs = (
        ("pixel sizes", "nm", card.pixel_sizes_nm, pixel_size_nm),
        ("objects", "px", card.widths_px, object_px),
    )
    for quantity, unit, fitted, value in pairs:
        if fitted is None or value is None:
            continue
        low, high = fitted[0] / BEYOND, fitted[1] * BEYOND
        if not low <= value <= high:
            raise SettingsError(
                f"{method.said} was fitted on {quantity} of {fitted[0]:.4g} to {fitted[1]:.4g} "
                f"{unit} and is used from {low:.3g} to {high:.3g}; {what} has {value:.4g} {unit}; "
                "--force uses it all the same"
            )


def _resolve_learned(archive: Archive, rest: str, tracking_uri: str | None) -> Resolved:
    if not rest:
        raise SettingsError(f"--method {LEARNED} needs a segmenter: {LEARNED}:NAME")
    from pipelines.segmentation.learned.model_folder import CONFIG_FILE, read_model_folder
    from services.segmenter_registry import load_segmenter

    if (folder := Path(rest).resolve()).joinpath(CONFIG_FILE).is_file():
        _, card = read_model_folder(folder)
        method = f"{LEARNED}:{folder}"
        return Resolved(method, method, card.weights_digest)
    model = load_segmenter(archive, rest, tracking_uri=tracking_uri)
    return Resolved(
        f"{LEARNED}:{model.folder.resolve()}",
        f"{LEARNED}:{model.name}/{model.version}",
        str(model.config["weights_digest"]),
        frozenset(model.card.get("seen", ())),
    )
