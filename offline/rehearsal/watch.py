"""The cluster as it is now, kept up to date by watches: looking costs no call, and the API server has less to do."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import requests

from offline.rehearsal.kube import ApiError, Kube, Obj

SILENCE_S = 20
"""Without news for so long, a watch is opened again from where it stopped."""
_RETRY_S = 0.2
_WHATEVER_COMES = 2**20
"""Bytes; of a chunked reply requests hands out each chunk as it comes."""


class Watch:
    """``with Watch(kube, kinds) as cluster: cluster.list("Pod")``. Returns from entering when all kinds are known.

    Objects are shared between callers: change a copy. A little older than what a write has just returned.
    """

    def __init__(self, kube: Kube, kinds: Iterable[tuple[str, str]]) -> None:
        self._kube = kube
        self._kinds = {kind: version for version, kind in kinds}
        self._stored: dict[str, dict[str, Obj]] = {}
        self._known = {kind: threading.Event() for kind in self._kinds}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.listeners: list[Callable[[], None]] = []
        """Called after every change, on the thread of the watch that saw it: no state in between is missed."""

    def __enter__(self) -> Self:
        for kind, version in self._kinds.items():
            threading.Thread(target=self._follow, args=(version, kind), name=f"watch {kind}", daemon=True).start()
        for known in self._known.values():
            known.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()

    def list(self, kind: str) -> list[Obj]:
        """Return the objects of a kind, with apiVersion and kind; none of a kind that is not watched."""
        with self._lock:
            return list(self._stored.get(kind, {}).values())

    def _follow(self, version: str, kind: str) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(ApiError, requests.RequestException):
                path = self._kube.path(version, kind)
                reply = self._kube.request("GET", path)
                with self._lock:
                    items = ({**item, "apiVersion": version, "kind": kind} for item in reply["items"])
                    self._stored[kind] = {item["metadata"]["uid"]: item for item in items}
                self._known[kind].set()
                self._stream(path, kind, reply["metadata"]["resourceVersion"])
            self._closed.wait(_RETRY_S)

    def _stream(self, path: str, kind: str, since: str) -> None:
        """Apply events until the server says that ``since`` is too old, or the connection fails."""
        while not self._closed.is_set():
            try:
                with self._kube.stream(path, since, SILENCE_S) as reply:
                    for line in reply.iter_lines(chunk_size=_WHATEVER_COMES):
                        event = json.loads(line)
                        if event["type"] == "ERROR" or self._closed.is_set():
                            return
                        since = event["object"]["metadata"]["resourceVersion"]
                        self._apply(kind, event)
            except (requests.Timeout, requests.ConnectionError):
                continue

    def _apply(self, kind: str, event: Obj) -> None:
        item = {**event["object"], "apiVersion": self._kinds[kind], "kind": kind}
        with self._lock:
            if event["type"] == "DELETED":
                self._stored[kind].pop(item["metadata"]["uid"], None)
            else:
                self._stored[kind][item["metadata"]["uid"]] = item
        for listener in tuple(self.listeners):
            listener()
