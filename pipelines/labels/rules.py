"""Labelling rules: a TOML file of named conditions over the columns of the particles table."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.errors import LabelError
from pipelines.labels.conditions import Condition
from pipelines.labels.expressions import Kind, parse_condition
from pipelines.labels.table import check_class_name
from pipelines.schemas import PARTICLES

#: Numbers that name a particle rather than measure it.
_IDENTITIES = ("particle_id", "instance")
_KEYS = {"name", "expression", "label", "weight"}
_MAX_BYTES = 1 << 20

#: Columns that a rule may name, and whether they are numbers or conditions.
MEASUREMENTS: Mapping[str, Kind] = {
    field.name: "condition" if pa.types.is_boolean(field.type) else "number"
    for field in PARTICLES
    if not pa.types.is_string(field.type) and field.name not in _IDENTITIES
}


@dataclass(frozen=True)
class Rule:
    """One vote: particles that fulfil ``condition`` get ``label``, with ``weight``."""

    name: str
    condition: Condition
    label: str
    weight: float = 1.0


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read and check a file of rules.

    Each rule is a table ``[[rules]]`` with ``name``, ``expression``, ``label`` and, where votes
    are weighted, ``weight``.

    Raises
    ------
    LabelError
        Naming the file, the rule and what is wrong with it.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelError(f"rules file {path} is larger than {_MAX_BYTES} bytes")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabelError(f"rules file {path} does not exist") from None
    except OSError as error:
        raise LabelError(f"rules file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelError(f"rules file {path} is not TOML: {error}") from error
    return parse_rules(content, where=str(path))


def parse_rules(content: Mapping[str, Any], *, where: str) -> tuple[Rule, ...]:
    """Check rules as TOML gives them; errors begin with ``where``. See `read_rules`."""
    unknown = sorted(content.keys() - {"rules"})
    if unknown:
        raise LabelError(f"{where}: unknown key {unknown[0]!r}; rules are tables [[rules]]")
    tables = content.get("rules", [])
    if not isinstance(tables, list) or not tables:
        raise LabelError(f"{where}: no rules; each is a table [[rules]]")
    rules = tuple(_rule(table, number, where) for number, table in enumerate(tables, 1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise LabelError(f"{where}: two rules are named {name!r}")
    return rules


def _rule(table: Any, number: int, where: str) -> Rule:
    if not isinstance(table, dict):
        raise LabelError(f"{where}: rule {number} must be a table, got {table!r}")
    name = table.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 60 or not name.isprintable():
        raise LabelError(f"{where}: rule {number}: name must be 1 to 60 letters, got {name!r}")
    place = f"{where}: rule {name!r}"
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise LabelError(f"{place}: unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}")
    for key in ("expression", "label"):
        if not isinstance(table.get(key), str):
            raise LabelError(f"{place}: {key} must be a text, got {table.get(key)!r}")
    weight = table.get("weight", 1.0)
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not 0 < weight < math.inf:
        raise LabelError(f"{place}: weight must be a positive number, got {weight!r}")
    return Rule(
        name=name,
        condition=parse_condition(table["expression"], MEASUREMENTS, where=place),
        label=check_class_name(table["label"], place),
        weight=float(weight),
    )
