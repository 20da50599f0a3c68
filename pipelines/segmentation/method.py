"""What a segmentation method is, and how one is found by its name."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import digest_file
from pipelines.errors import SettingsError
from pipelines.records import Window
from pipelines.segmentation import methods
from pipelines.segmentation.overview import Overview
from pipelines.segmentation.plug_ins import plug_in_identity
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey

#: What the name of a fitted segmenter begins with; its folder follows.
LEARNED = "learned:"


@runtime_checkable
class Method(Protocol):
    """Says which pixels are particles, and how high they are for the watershed.

    Attributes
    ----------
    version : int
        Raised whenever equal settings give other particles than before.
    """

    version: int

    def support_px(self, settings: SegmentationSettings) -> int:
        """Return how far a pixel's height may depend on others, in pixels."""
        ...

    def lifts(self, overview: Overview) -> float | NDArray[np.float32]:
        """Choose how far the threshold lies above the background, from the whole mosaic."""
        ...

    def heights(
        self, image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
    ) -> NDArray[np.uint16]:
        """Give every pixel of a window its height.

        Parameters
        ----------
        image : (h, w) array of uint8 or uint16
            Working grey levels of the window.
        window : Window
            Where it lies in the mosaic.
        survey : Survey
            Background and threshold of the mosaic.
        settings : SegmentationSettings
            What the user wants.

        Returns
        -------
        heights : (h, w) array of uint16
            0 for background, up to 4095 for particles, with one peak per particle. A pixel's
            height must not depend on pixels further away than ``support_px``, nor on where the
            window begins; integer arithmetic sees to that, floating-point filters do not.
        """
        ...


@runtime_checkable
class Surveyor(Method, Protocol):
    """A method that wants to know more of a mosaic than background and threshold."""

    def traits(self, overview: Overview) -> Mapping[str, float]:
        """Return numbers that every tile of the mosaic is to be judged by."""
        ...

    def reach_px(self, survey: Survey, settings: SegmentationSettings) -> int:
        """Return how far heights may depend on others in this mosaic: at most ``support_px``."""
        ...


def traits_of(method: Method) -> Callable[[Overview], Mapping[str, float]] | None:
    """Return what a method wants to know of a mosaic, if anything."""
    return method.traits if isinstance(method, Surveyor) else None


def method_names() -> list[str]:
    """Return the names of the methods that come with the program."""
    return sorted(module.name for module in pkgutil.iter_modules(methods.__path__))


def load_method(name: str) -> Method:
    """Return the method of this name.

    ``path/to/file.py:NAME`` is the object ``NAME`` in a file; ``learned:path/to/folder`` is
    a segmenter that was fitted before, by the folder that holds it; other names with a path are
    of methods that need a model of the user's.

    Raises
    ------
    SettingsError
        If there is none, or it is not a method.
    ModelError
        If a fitted segmenter cannot be read.
    """
    path, _, attribute = name.rpartition(":")
    if name.startswith(LEARNED):
        # Here, because others need not wait for torch.
        from pipelines.segmentation.learned.method import LearnedMethod

        found: Any = LearnedMethod.open(_model_folder(name))
    elif path.endswith(".py"):
        found = getattr(_load_file(Path(path), name), attribute, None)
    elif (known_as := name.partition(":")[0]) in method_names():
        module = importlib.import_module(f"{methods.__name__}.{known_as}")
        found = _open(module, known_as, name)
    else:
        known = ", ".join(method_names())
        raise SettingsError(
            f"method must be one of {known}, {LEARNED}FOLDER or file.py:NAME, got {name!r}"
        )
    if not isinstance(found, Method):
        raise SettingsError(f"method {name!r} is not a segmentation method (see method.Method)")
    return found


class LateMethod:
    """A method that is loaded when something is asked of it, and perhaps never.

    An actor that is given heights needs no network, and no room on an accelerator for one.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _method(self) -> Method:
        return load_method(self._name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._method, attribute)


def method_identity(name: str) -> list[Any]:
    """Return what tells one method from another: for a file or a model, its content."""
    path, _, attribute = name.rpartition(":")
    if name.startswith(LEARNED):
        from pipelines.segmentation.learned.method import VERSION
        from pipelines.segmentation.learned.model_folder import read_card

        # Wherever it lies and whatever it is called.
        return [LEARNED, VERSION, read_card(_model_folder(name)).identity]
    if path.endswith(".py"):
        return [attribute, load_method(name).version, digest_file(Path(path))]
    known_as, _, model = name.partition(":")
    if model:
        return [*plug_in_identity(known_as, model), load_method(name).version]
    return [name, load_method(name).version]


def _open(module: ModuleType, known_as: str, name: str) -> Any:
    """Return a module's method, made for the model that the name goes on with if it needs one."""
    model = name.partition(":")[2]
    if hasattr(module, "open_method"):
        return module.open_method(model)
    if model:
        raise SettingsError(f"method {known_as} takes no model, got {name!r}")
    return module.METHOD


def _model_folder(name: str) -> Path:
    folder = Path(name.removeprefix(LEARNED))
    if not folder.is_dir():
        raise SettingsError(f"method {name!r}: there is no model folder {folder}")
    return folder


def _load_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise SettingsError(f"method {name!r}: file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"tessera_method_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"method {name!r}: file {path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingsError(f"method {name!r}: file {path} fails: {error!r}") from error
    return module
