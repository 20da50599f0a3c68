"""What holds for every file that is deployed."""

import re
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
#: Not what a site or Python has put beside them.
NOT_OURS = {"secrets", "__pycache__"}
FILES = sorted(
    path for path in DEPLOY.rglob("*") if path.is_file() and not NOT_OURS & {*path.parts}
)
#: Where packages come from is the site's own business.
INDEXES = re.compile(r"pypi|pythonhosted|download\.pytorch|--extra-index|index-url\s+http", re.I)
#: A value that stands where a secret would.
LITERAL = re.compile(
    r"""(?ix) \b\w*(?:password|passwd|secret|token|session_key|secret_key|access_key)\w*
    ["']?[ \t]*[:=][ \t]*["']?
    (?!\s|token\b|/run/secrets/|tessera|\$|\{|\[|\.|"?"?$)
    ([A-Za-z0-9+/_-]{6,})"""
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_file_names_a_package_index(path):
    assert INDEXES.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name != "README.md"], ids=lambda p: str(p.relative_to(DEPLOY))
)
def test_no_file_holds_a_secret(path):
    assert LITERAL.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "POSTGRES_PASSWORD: hunter22",
        'RAY_AUTH_TOKEN="0123456789abcdef"',
        "MLFLOW_FLASK_SERVER_SECRET_KEY=abcdefgh",
        "aws_secret_access_key = wJalrXUtnFEMI",
    ],
)
def test_a_secret_would_be_found(line):
    assert LITERAL.search(line)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_the_token_is_never_turned_off(path):
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"RAY_AUTH_MODE\W{1,4}disabled", text)
    assert "disable-security-middleware" not in text


def test_whatever_starts_or_joins_a_ray_turns_the_token_on():
    starts = re.compile(
        r"ray (start|symmetric-run) -|tessera submit|rayClusterSpec|headGroupSpec|relabel"
    )
    silent = [
        path.name
        for path in FILES
        if path.suffix in (".yaml", ".sbatch", ".service")
        and starts.search(text := path.read_text(encoding="utf-8"))
        and not re.search(r"RAY_AUTH_MODE(: |=|, value: )token", text)
    ]

    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_jobs_are_submitted_by_tessera_which_checks_settings_and_runs_nothing_twice(path):
    text = " ".join(path.read_text(encoding="utf-8").split())

    assert "ray job submit" not in text
