"""Commands of the manual can be typed: verbs, flags, files, services and targets exist."""

import re

import pytest


@pytest.fixture(scope="module")
def text(deploy):
    return (deploy / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lines(text):
    """Lines of the code blocks, with those that are continued joined."""
    code = "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE))
    return re.sub(r"\\\n\s*", " ", code).splitlines()


def test_verbs_and_flags_exist(lines, text, commands):
    typed = [m for line in lines for m in re.findall(r"(?:^|^\.venv/bin/| -- )tessera (.*)", line)]
    typed += re.findall(r"tessera\.sbatch ([a-z].*)", "\n".join(lines))
    typed += [said.removeprefix("tessera ") for said in re.findall(r"`(tessera [a-z][^`]*)`", text)]

    assert len(typed) >= 6
    for line in typed:
        commands.check_tessera(commands.split(line))


def test_files_that_are_named_are_there(text, root, deploy):
    named = set(re.findall(r"`([\w/]+\.(?:yaml|json|py|toml|txt))`", text))
    named |= set(re.findall(r"\bdeploy/[\w/-]+\.\w+", text))

    # These are made by the commands themselves.
    named -= {"build/sbom.json"}
    places = (root, deploy, deploy / "kubernetes")
    missing = {name for name in named if not any((place / name).exists() for place in places)}
    assert missing == set()
    assert len(named) > 15


def test_every_manifest_is_spoken_of(text, deploy):
    manifests = {path.name for path in (deploy / "kubernetes").glob("*.yaml")}

    assert {name for name in manifests if name not in text} == set()


def test_secrets_that_are_made_are_those_that_are_mounted(lines, compose):
    made = set(re.findall(r"> (\w+)$", "\n".join(lines), re.MULTILINE))
    (loop,) = [line for line in lines if line.startswith("for name in ")]
    made |= set(loop.removeprefix("for name in ").partition(";")[0].split())

    assert made == {*compose["secrets"]}


def test_git_leaves_the_secrets_alone(root):
    ignored = (root / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert "/deploy/secrets/" in ignored


def test_services_and_profiles_that_are_named_exist(lines, compose):
    for line in lines:
        for name in re.findall(r"--scale (\w+)=|exec (\w+) ray", line):
            assert (name[0] or name[1]) in compose["services"]
    variables = set(re.findall(r"\b(TESSERA_\w+)=", "\n".join(lines)))
    assert {v for v in variables if v not in str(compose)} == set()


def test_targets_of_make_exist(text, root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")

    targets = set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.MULTILINE))
    assert {"audit", "sbom", "install"} <= targets
    assert {target for target in targets if f"\n{target}:" not in makefile} == set()


def test_names_in_kubectl_are_those_of_the_manifests(lines, kubernetes):
    (nightly,), (cluster,) = kubernetes["nightly.yaml"], kubernetes["raycluster.yaml"]
    typed = "\n".join(lines)

    assert f"--from=cronjob/{nightly['metadata']['name']} " in typed
    assert f"service/{cluster['metadata']['name']}-head-svc " in typed
    secret = cluster["spec"]["authOptions"]["secretName"]
    assert f"secret generic {secret} --from-file=auth_token=" in typed


def test_the_ports_of_the_table_are_the_ones_that_are_open(text, compose):
    published = {p.split(":")[1] for s in compose["services"].values() for p in s.get("ports", ())}
    table = text.partition("## Who can reach what")[2]

    assert {port for port in published if not re.search(rf"\| {port}\b", table)} == set()


def test_metrics_of_the_manual_are_the_ones_that_are_shown(text):
    from cluster.metrics import exported_names

    told = set(re.findall(r"`(ray_tessera_\w+)`", text))
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported_names()}
    assert told == shown


def test_secrets_that_may_lie_in_files_are_all_named(text):
    from services.secrets import FROM_FILES

    said = text.partition("## Secrets")[2].partition("## Who")[0]
    assert {name for name in FROM_FILES if name not in said} == set()


def test_tests_that_are_named_exist(text, root):
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", text))

    assert len(named) >= 8
    assert {name for name in named if not (root / name).exists()} == set()


def test_it_does_not_claim_what_was_not_done(text):
    assert "never been built or\nrun" in text
