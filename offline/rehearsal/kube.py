"""A small Kubernetes API client: dicts in, dicts out, server-side apply as Pulumi does it."""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

Obj = dict[str, Any]
CRD = "CustomResourceDefinition"
_BUSY = {429, 503}
_BUSY_S = 60


class ApiError(RuntimeError):
    """The API server's refusal, in its own words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    @classmethod
    def of(cls, reply: requests.Response) -> "ApiError":
        """Return the ``message`` of a Status object, or the body as it came."""
        try:
            text = reply.json()["message"]
        except (ValueError, KeyError):
            text = reply.text
        return cls(reply.status_code, text[:2000])


class Kube:
    """One connection; threads may share it."""

    def __init__(self, url: str, token: str, ca: Path) -> None:
        self.url, self._token, self._ca = url, token, ca
        self.warnings: list[str] = []
        """What the API server warned of while it accepted objects (Pod Security of a pod template, for one)."""
        self._local = threading.local()
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def answers(self, path: str) -> bool:
        """Whether a GET of this path succeeds now."""
        try:
            self.request("GET", path, patient=False)
        except (ApiError, requests.RequestException):
            return False
        return True

    def request(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", patient: bool = True,
        params: Mapping[str, str] | None = None,
    ) -> Obj:  # fmt: skip
        """One call; waits while the server says it is busy (a new CRD's storage). Raises ApiError."""
        end = time.monotonic() + (_BUSY_S if patient else 0)
        while True:
            reply = self._session().request(
                method, self.url + path, data=None if body is None else json.dumps(body), params=params, timeout=60,
                headers={"Content-Type": content},
            )  # fmt: skip
            if reply.status_code not in _BUSY or time.monotonic() > end:
                break
            time.sleep(0.2)
        if reply.status_code >= 400:
            raise ApiError.of(reply)
        if warning := reply.headers.get("Warning"):
            self.warnings.append(f"{path}: {warning}")
        return reply.json() if reply.headers.get("Content-Type", "").startswith("application/json") else {}

    def stream(self, path: str, since: str, silence_s: float) -> requests.Response:
        """Return a watch of a collection from a resource version on; raise a requests error after so long a silence."""
        reply = self._session().get(
            self.url + path, params={"watch": "1", "resourceVersion": since}, stream=True, timeout=(5, silence_s)
        )
        if reply.status_code >= 400:
            raise ApiError.of(reply)
        return reply

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.verify = str(self._ca)
            session.headers["Authorization"] = f"Bearer {self._token}"
        return session

    def path(self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """Return the REST path of a kind or of one object, by discovery. Raises ApiError 404 for a kind not served."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        plural, namespaced = self._kind(root, api_version, kind)
        scope = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{root}{scope}/{plural}" + (f"/{quote(name)}" if name else "")

    def _kind(self, root: str, api_version: str, kind: str) -> tuple[str, bool]:
        if (api_version, kind) not in self._kinds:
            for served in self.request("GET", root)["resources"]:
                if "/" not in served["name"]:
                    self._kinds[api_version, served["kind"]] = (served["name"], served["namespaced"])
        if (api_version, kind) not in self._kinds:
            raise ApiError(404, f"the server does not know {kind} in {api_version}")
        return self._kinds[api_version, kind]

    def path_of(self, obj: Obj) -> str:
        """Return the path of an object that carries apiVersion, kind and metadata."""
        meta = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], meta.get("namespace", "default"), meta["name"])

    def list(self, api_version: str, kind: str, namespace: str | None = None) -> list[Obj]:
        """All objects of a kind, with apiVersion and kind; none where the kind is not served."""
        try:
            items = self.request("GET", self.path(api_version, kind, namespace))["items"]
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [{**item, "apiVersion": api_version, "kind": kind} for item in items]

    def find(self, obj: Obj) -> Obj | None:
        """Return the stored state of an object, or None."""
        try:
            return self.request("GET", self.path_of(obj))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, obj: Obj) -> Obj:
        """POST; raises ApiError 409 where it exists."""
        return self.request("POST", self.path_of(obj).rsplit("/", 1)[0], obj)

    def apply(self, obj: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply, conflicts forced."""
        params = {"fieldManager": "rehearsal", "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return self.request(
            "PATCH", self.path_of(obj), obj, content="application/apply-patch+yaml",
            params=params,
        )  # fmt: skip

    def patch(self, obj: Obj, change: Obj, subresource: str = "") -> Obj:
        """JSON merge patch (RFC 7386)."""
        return self.request(
            "PATCH", self.path_of(obj) + subresource, change, content="application/merge-patch+json"
        )

    def delete(self, obj: Obj, *, at_once: bool = False, propagation: str = "Background") -> None:
        """Asks for deletion; ``at_once`` is what a kubelet says when the containers are gone."""
        params = {"propagationPolicy": propagation} | ({"gracePeriodSeconds": "0"} if at_once else {})
        try:
            self.request("DELETE", self.path_of(obj), params=params)
        except ApiError as error:
            if error.status != 404:
                raise

    def evict(self, pod: Obj) -> None:
        """Return the eviction API, which honours PodDisruptionBudgets: raises ApiError 429 where one blocks."""
        meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        self.request("POST", self.path_of(pod) + "/eviction", body, patient=False)

    def install(self, crds: Iterable[Obj], timeout_s: float = 120) -> None:
        """Apply CRDs and return when discovery serves every one of them."""
        crds = list(crds)
        for crd in crds:
            self.apply(crd)
        end = time.monotonic() + timeout_s
        for crd in crds:
            version = next(v["name"] for v in crd["spec"]["versions"] if v["served"])
            while not self._served(f"{crd['spec']['group']}/{version}", crd["spec"]["names"]["kind"]):
                if time.monotonic() > end:
                    raise TimeoutError(f"{crd['metadata']['name']} is not served after {timeout_s:g} s")
                time.sleep(0.1)

    def _served(self, api_version: str, kind: str) -> bool:
        try:
            return bool(self.request("GET", self.path(api_version, kind)))
        except ApiError as error:
            if error.status in {404, 503}:
                return False
            raise
