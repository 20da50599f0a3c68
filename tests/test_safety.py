"""What the packages never do: run what they read, or show it as if it were theirs."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cluster", "pipelines", "services")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TEMPLATES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.html"))
#: Their formats run what is in them. TOML, JSON, Arrow and safetensors do not.
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
UNSAFE_MODULES |= {"_pickle", "pandas.io.pickle", "mlflow.pyfunc"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_METHODS = {"read_pickle", "to_pickle", "extractall", "system", "popen", "Markup"}


def dotted(node):
    """Write a name with its attributes: ``torch.load``."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_true(call, keyword):
    (value,) = [k.value for k in call.keywords if k.arg == keyword] or [None]
    return isinstance(value, ast.Constant) and value.value is True


def problems_of(source):
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            found += sorted(names & UNSAFE_MODULES)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            last = name.rpartition(".")[2]
            if name in UNSAFE_CALLS or last in UNSAFE_METHODS or last.startswith("pyfunc"):
                found.append(name)
            if name.endswith("torch.load") and not is_true(node, "weights_only"):
                found.append("torch.load without weights_only=True")
            if last in ("load", "save") and is_true(node, "allow_pickle"):
                found.append(f"{name} with allow_pickle=True")
            if is_true(node, "shell"):
                found.append(f"{name} with shell=True")
            if last == "Environment" and not is_true(node, "autoescape"):
                found.append("jinja2.Environment without autoescape=True")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(file):
    assert problems_of(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import yaml\nyaml.safe_load(text)",
        "eval(text)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import os\nos.system(text)",
        "import jinja2\njinja2.Environment(loader=None)",
        "from mlflow import pyfunc",
        "import pandas as pd\npd.read_pickle(path)",
        "archive.extractall(folder)",
    ],
)
def test_a_dangerous_line_is_found(source):
    assert problems_of(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "network.eval()",
        "import numpy as np\nnp.load(path)",
        "import jinja2\njinja2.Environment(autoescape=True)",
    ],
)
def test_a_harmless_line_is_left_alone(source):
    assert problems_of(source) == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_template_turns_escaping_off(file):
    text = file.read_text(encoding="utf-8")

    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text
    assert "<script" not in text
    # Outside quotes a value could add attributes of its own.
    assert "={{" not in text.replace(" ", "")


def test_pages_come_from_templates_alone():
    writers = [
        path.relative_to(ROOT)
        for path in FILES
        if any(tag in path.read_text(encoding="utf-8") for tag in ("<html", "<td", "<p>", "<div"))
    ]

    assert writers == []
    assert [path.name for path in TEMPLATES] == ["report.html"]
