"""The image, as far as it can be judged without building it."""

import fnmatch
import importlib.util
import json
import re
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

import services.secrets


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def of(dockerfile, word):
    return [rest for found, rest in dockerfile if found == word]


def stages(dockerfile):
    """Name of every stage -> its instructions."""
    found = {}
    for word, rest in dockerfile:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found.setdefault(name, [("FROM", base)])
        elif found:
            current.append((word, rest))
    return found


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_each_variant_is_built_from_stages_that_are_there(dockerfile, variant):
    known = stages(dockerfile)
    waiting, seen = [list(known)[-1]], set()

    while waiting:
        name = waiting.pop()
        seen.add(name)
        _, base = known[name][0]
        copied = re.findall(r"--from=(\S+)", " ".join(rest for _, rest in known[name]))
        for needed in (base.replace("${VARIANT}", variant), *copied):
            assert needed in known or needed == "${PYTHON_IMAGE}", needed
            if needed in known and needed not in seen:
                waiting.append(needed)

    assert {f"build-{variant}", f"runtime-{variant}"} <= seen


def test_the_default_variant_is_one_that_is_there(dockerfile):
    arguments = dict(argument.split("=", 1) for argument in of(dockerfile, "ARG"))

    assert f"build-{arguments['VARIANT']}" in stages(dockerfile)


def test_the_last_stage_installs_no_package_of_python_and_runs_as_nobody_special(dockerfile):
    *_, last = stages(dockerfile).values()

    assert "pip" not in " ".join(rest for word, rest in last if word == "RUN")
    (user,) = [rest for word, rest in last if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [word for word, _ in last[[word for word, _ in last].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & {*after}


def test_everything_that_pip_installs_is_pinned(dockerfile):
    installs = [run for run in of(dockerfile, "RUN") if "pip install" in run]

    assert len(installs) == 3
    assert all("--constraint constraints.txt" in run for run in installs)


def test_the_extras_that_are_installed_exist(dockerfile, project):
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", " ".join(of(dockerfile, "RUN")))

    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    # The image is also that of the tracking server and its store.
    assert "server" in extras


def test_the_python_of_the_image_is_one_that_the_project_runs_on(dockerfile, project):
    (image,) = [a for a in of(dockerfile, "ARG") if a.startswith("PYTHON_IMAGE=")]
    (version,) = re.findall(r"python:(\d+\.\d+)-", image)

    assert version in SpecifierSet(project["requires-python"])


def test_what_is_copied_exists_and_is_sent_to_the_builder(dockerfile, deploy, root):
    ignored = (deploy / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored

    copied = {
        source
        for rest in of(dockerfile, "COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
    }

    assert {"cluster", "pipelines", "services"} <= copied
    for source in copied:
        assert (root / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in sent), source


def test_nothing_else_is_sent_to_the_builder(dockerfile, deploy):
    ignored = (deploy / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}

    copied = {
        word for rest in of(dockerfile, "COPY") if "--from" not in rest for word in rest.split()
    }
    assert sent <= copied


def test_the_entry_point_is_ours_and_so_is_the_command(dockerfile, project):
    (entry,) = map(json.loads, of(dockerfile, "ENTRYPOINT"))
    (command,) = map(json.loads, of(dockerfile, "CMD"))

    assert entry[:2] == ["python", "-m"]
    assert importlib.util.find_spec(entry[2]) is not None
    assert command[0] in project["scripts"]


def test_the_token_is_on_and_nobody_is_told_of_it(dockerfile, known_to):
    given = dict(re.findall(r"(\w+)=(\S+)", " ".join(of(dockerfile, "ENV"))))

    assert given["RAY_AUTH_MODE"] == "token"
    assert given["RAY_USAGE_STATS_ENABLED"] == "0"
    assert given["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert known_to("ray", "RAY_USAGE_STATS_ENABLED")
    assert known_to("mlflow", "MLFLOW_DISABLE_TELEMETRY")
    assert not set(given) & set(services.secrets.FROM_FILES)
