"""However a rehearsal ends, its servers end with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offline.program import ROOT
from offline.rehearsal.build import Toolchain
from offline.rehearsal.processes import Group

START = """
import pathlib, signal, sys, time
from offline.rehearsal.control_plane import ControlPlane
# A background job of a shell inherits an ignored SIGINT, and Python leaves that as it is.
signal.signal(signal.SIGINT, signal.default_int_handler)
with ControlPlane(pathlib.Path(sys.argv[1])) as plane:
    print(*[member.popen.pid for member in plane.group.members], flush=True)
    if sys.argv[2] == "raise":
        raise RuntimeError
    while True:
        time.sleep(60)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, "raise"])
def test_no_server_outlives_its_rehearsal(servers: Toolchain, ending: signal.Signals | str) -> None:
    """Prevents etcd and the API servers of interrupted, killed and failed runs from piling up on a machine."""
    with subprocess.Popen(
        [sys.executable, "-c", START, str(servers.servers), str(ending)], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        pids = [int(text) for text in run.stdout.readline().split()]
        assert len(pids) == 4
        if isinstance(ending, signal.Signals):
            os.kill(run.pid, ending)
        try:
            run.wait(60)
        finally:
            run.kill()
    group = Group(Path("/nonexistent"))
    try:
        group.wait("all servers have ended", lambda: not any(map(_runs, pids)), 60)
    finally:
        group.close()


def _runs(pid: int) -> bool:
    """Return whether a process exists and is no zombie that its parent has not collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
