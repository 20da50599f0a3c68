"""Imports run one way: services -> pipelines -> cluster; stages in order; ray in flow.py alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cluster", "pipelines", "services")
#: Stages in order; a stage may import those before it. Names on one line are siblings.
ORDER = [
    ["evaluation"],
    ["simulation"],
    ["mosaic"],
    ["segmentation"],
    ["labels"],
    ["training"],
    ["classifiers", "detector", "defects", "ssrvae", "segmenter"],
    ["sweeps"],
]
#: Folders of files that all stages share.
SHARED = {"buckets"}
RANK = {stage: rank for rank, stages in enumerate(ORDER) for stage in stages}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported_modules(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which layer is meant"
            found.add(node.module or "")
            # "from pipelines import labels" names a stage too.
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def broken_rules(file: Path, source: str) -> list[str]:
    package, *inner = file.parts
    problems = []
    for module in sorted(imported_modules(source)):
        top, *rest = module.split(".")
        if top in PACKAGES and PACKAGES.index(top) > PACKAGES.index(package):
            problems.append(f"{package} imports {module}")
        if package != "pipelines":
            continue
        if top in ("ray", "cluster") and file.name != "flow.py":
            problems.append(f"{module} outside flow.py")
        own_stage, other_stage = inner[0], rest[0] if rest else ""
        if top == "pipelines" and other_stage in RANK and own_stage != other_stage:
            if own_stage not in RANK:
                problems.append(f"shared file {file.name} imports stage {other_stage}")
            elif RANK[other_stage] >= RANK[own_stage]:
                problems.append(f"stage {own_stage} imports {other_stage}")
    return problems


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_run_one_way(file):
    assert broken_rules(file.relative_to(ROOT), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("cluster/session.py", "import pipelines.records"),
        ("pipelines/labels/weak.py", "from services.settings import VerbSettings"),
        ("pipelines/labels/weak.py", "import ray"),
        ("pipelines/labels/weak.py", "from cluster import resources"),
        ("pipelines/mosaic/flow.py", "from pipelines.labels import weak"),
        ("pipelines/classifiers/flow.py", "from pipelines.detector import views"),
        ("pipelines/ledger.py", "from pipelines.mosaic import tiling"),
    ],
)
def test_a_wrong_import_is_found(file, source):
    assert broken_rules(Path(file), source) != []


def test_every_stage_has_its_place_in_the_order():
    stages = {path.parent.name for path in (ROOT / "pipelines").glob("*/__init__.py")}

    assert stages <= set(RANK) | SHARED


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_that_run_are_ours(package):
    module = __import__(package)

    assert Path(module.__file__).resolve().parent == ROOT / package


def test_the_top_level_is_fixed():
    allowed = {*PACKAGES, "tests", "deploy", "pyproject.toml", "README.md", "Makefile"}
    allowed |= {"constraints.txt", "LICENSE", "CHANGELOG.md"}
    made_by_tools = {"build", "dist", "demo", "benchmark-results"}
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}

    strays = {name for name in present - allowed - made_by_tools if not name.endswith(".egg-info")}

    assert strays == set()
