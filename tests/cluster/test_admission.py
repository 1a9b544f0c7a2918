"""The real API server takes everything that the program declares, and holds it to the security that we claim."""

import pytest

from offline.rehearsal.kube import ApiError, Obj
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from tests.cluster import stacks

STACKS = (*stacks.SHIPPED, *stacks.EXAMPLES)

ENFORCE = "pod-security.kubernetes.io/enforce"


def test_every_object_is_admitted(simulation: Simulation) -> None:
    """Prevents an object that schemas accept and the API server refuses (core validation, CEL of CRDs, admission)."""
    assert simulation.refused == []


def test_nothing_is_left_out(simulation: Simulation) -> None:
    """Prevents a kind that nobody serves, or a chart that nothing imitates, from passing unseen."""
    assert simulation.left_out == []


def test_no_pod_template_violates_its_namespace(simulation: Simulation) -> None:
    """Prevents a workload whose pods the namespace's Pod Security level refuses: only a warning when it is applied."""
    assert [text for text in simulation.kube.warnings if "violate PodSecurity" in text] == []


def test_restricted_namespaces_refuse_a_root_pod(simulation: Simulation) -> None:
    """Prevents the model servers' namespace from losing its Pod Security label: anything could run beside them."""
    serving = {simulation.workload(model)["metadata"]["namespace"] for model in simulation.replicas}
    enforced = {o["metadata"]["name"]: o["metadata"].get("labels", {}) for o in simulation.bundle.of_kind("Namespace")}
    assert {enforced[name].get(ENFORCE) for name in serving} == {"restricted"}
    for namespace in serving:
        root = {"containers": [{"name": "root", "image": "x", "securityContext": {"privileged": True}}]}
        meta = {"name": "root", "namespace": namespace}
        with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
            simulation.kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": root}, dry_run=True)


def test_jobs_run_as_accounts_with_no_more_than_their_roles(simulation: Simulation) -> None:
    """Prevents a Job whose account is missing, lacks what its role grants, or may read the stack's secrets."""
    jobs = simulation.bundle.of_kind("Job")
    for job in jobs:
        namespace, spec = job["metadata"]["namespace"], job["spec"]["template"]["spec"]
        account = spec.get("serviceAccountName", "default")
        meta = {"name": account, "namespace": namespace}
        assert simulation.kube.find({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}), account
        user = f"system:serviceaccount:{namespace}:{account}"
        assert not _may(simulation, user, {"verb": "list", "resource": "secrets", "namespace": namespace})
        for rule in _rules_of(simulation, namespace, account):
            for verb in rule["verbs"]:
                for resource in rule["resources"]:
                    group = rule["apiGroups"][0]
                    asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
                    asked |= {"name": rule["resourceNames"][0]} if rule.get("resourceNames") else {}
                    assert _may(simulation, user, asked), asked


def test_jobs_complete_and_volumes_bind(simulation: Simulation, seen: Observation) -> None:
    """Prevents a preloader that can never run, and a claim that finds no volume (class, size, mode, claimRef)."""
    assert (seen.unfinished_jobs, seen.unbound_volumes) == ((), ())
    for claim in simulation.bundle.of_kind("PersistentVolumeClaim"):
        stored = simulation.kube.find(claim)
        assert stored is not None
        wanted = claim["spec"].get("volumeName") or stored["spec"]["volumeName"]
        assert (stored["status"]["phase"], stored["spec"]["volumeName"]) == ("Bound", wanted)


def _rules_of(simulation: Simulation, namespace: str, account: str) -> list[Obj]:
    """Return the rules of the Roles that the program binds to an account."""
    bound = {
        binding["roleRef"]["name"]
        for binding in simulation.bundle.of_kind("RoleBinding")
        for subject in binding["subjects"]
        if (subject["name"], subject.get("namespace", namespace)) == (account, namespace)
    }
    return [r for role in simulation.bundle.of_kind("Role") if role["metadata"]["name"] in bound for r in role["rules"]]


def _may(simulation: Simulation, user: str, attributes: Obj) -> bool:
    groups = ["system:serviceaccounts", "system:authenticated"]
    review = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {"name": ""},
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }  # fmt: skip
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return simulation.kube.request("POST", path, review)["status"]["allowed"]
