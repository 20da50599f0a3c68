"""Ways of learning a classifier: one file each, named like the method, with a class ``Method``.

A method ``co-teaching`` lives in ``co_teaching.py``.
"""

import importlib
import pkgutil

from pipelines.errors import SettingsError
from pipelines.training.method import Method


def method_names() -> list[str]:
    """Return the names of the methods that are here, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def method_type(name: str) -> type[Method]:
    """Return the class of the method ``name``.

    Raises
    ------
    SettingsError
        If there is no such method.
    """
    if name not in method_names():
        raise SettingsError(f"--method must be one of {', '.join(method_names())}, got {name!r}")
    module = importlib.import_module(f"pipelines.classifiers.methods.{name.replace('-', '_')}")
    found: type[Method] = module.Method
    return found
