"""Who may reach whom, worked out from the policies as Kubernetes does."""

import pytest

OURS = {"kubernetes.io/metadata.name": "tessera"}
HEAD = (OURS, {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head"})
WORKER = (OURS, {"ray.io/is-ray-node": "yes", "ray.io/node-type": "worker"})
NIGHTLY = (OURS, {"tessera/may-submit": "yes"})
STRANGER_WITHIN = (OURS, {"app": "something"})
STRANGER = ({"kubernetes.io/metadata.name": "default"}, {"app": "something"})
OPERATOR = ({"kubernetes.io/metadata.name": "kuberay-system"}, {})
MONITORING = ({"kubernetes.io/metadata.name": "monitoring"}, {})
MLFLOW = ({"kubernetes.io/metadata.name": "mlflow"}, {"app.kubernetes.io/name": "mlflow"})
NAMES = ({"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"})


def selects(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer, pod, *, own_namespace):
    namespace, labels = pod
    inside = (
        selects(peer["namespaceSelector"], namespace)
        if "namespaceSelector" in peer
        else (namespace == own_namespace)
    )
    return inside and selects(peer.get("podSelector", {}), labels)


def is_open(policies, direction, pod, other, port):
    """Tell whether a pod of ours may be reached by, or reach, another at a port."""
    if pod[0] != OURS:
        return True
    applying = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod[1])
    ]
    assert applying, "no policy applies, so that everything may be reached"
    key, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        any(is_peer(peer, other, own_namespace=OURS) for peer in rule[side])
        and ("ports" not in rule or port in {entry["port"] for entry in rule["ports"]})
        for spec in applying
        for rule in spec.get(key, ())
    )


@pytest.fixture(scope="module")
def reaches(kubernetes):
    policies = kubernetes["network-policy.yaml"]

    def check(source, target, port):
        return is_open(policies, "Egress", source, target, port) and is_open(
            policies, "Ingress", target, source, port
        )

    return check


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (WORKER, HEAD, 6379),
        (HEAD, WORKER, 10002),
        (WORKER, WORKER, 40000),
        (NIGHTLY, HEAD, 8265),
        (OPERATOR, HEAD, 8265),
        (MONITORING, HEAD, 8080),
        (MONITORING, WORKER, 8080),
        (HEAD, MLFLOW, 5000),
        (HEAD, NAMES, 53),
    ],
)
def test_what_is_needed_is_open(reaches, source, target, port):
    assert reaches(source, target, port)


@pytest.mark.parametrize("port", [6379, 8080, 8265, 10001, 10002])
@pytest.mark.parametrize("source", [STRANGER, STRANGER_WITHIN])
def test_strangers_reach_no_port_of_ray(reaches, source, port):
    assert not reaches(source, HEAD, port)
    assert not reaches(source, WORKER, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        # Jobs, but nothing below them.
        (NIGHTLY, HEAD, 6379),
        (NIGHTLY, HEAD, 10001),
        (NIGHTLY, WORKER, 8265),
        (OPERATOR, HEAD, 6379),
        # Numbers, but no jobs.
        (MONITORING, HEAD, 8265),
        (MONITORING, HEAD, 6379),
    ],
)
def test_each_reaches_what_it_needs_alone(reaches, source, target, port):
    assert not reaches(source, target, port)


@pytest.mark.parametrize("source", [HEAD, WORKER, NIGHTLY])
def test_nothing_is_sent_away(reaches, source):
    outside = ({"kubernetes.io/metadata.name": "elsewhere"}, {})

    assert not reaches(source, outside, 443)


@pytest.mark.parametrize("source", [STRANGER, STRANGER_WITHIN, HEAD])
@pytest.mark.parametrize("target", [NIGHTLY, STRANGER_WITHIN])
def test_a_pod_that_nothing_is_said_of_is_closed(reaches, source, target):
    assert not reaches(source, target, 8080)
