"""Child processes that end with this one, however it ends."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.2
STOP_S = 10


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """One member of a ``Group``, logging to ``<folder>/<name>.log``."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.popen, self.log = name, popen, log

    def check(self) -> None:
        """Raise RuntimeError with the end of the log if the process has ended."""
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self.name} ended with status {self.popen.returncode}:\n{tail}")

    def stop(self) -> None:
        """Asks it to end, and kills it when it has not within ``STOP_S`` seconds."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Group:
    """Processes in one process group of their own, led by a guard.

    The guard waits on a pipe that only this process holds open: when this process dies, even by SIGKILL, the
    guard reads the end of the file and kills the group. Their own group keeps a terminal's Ctrl-C away from the
    children, so that they are ended in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members: list[Process] = []
        shell = shutil.which("sh") or "/bin/sh"
        self._guard = subprocess.Popen(  # noqa: S603
            [shell, "-c", "cat >/dev/null; kill -KILL 0"], stdin=subprocess.PIPE, process_group=0
        )

    def start(self, name: str, argv: Iterable[str], env: Mapping[str, str] | None = None) -> Process:
        """Start one process; its environment is ours with ``env`` on top."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(  # noqa: S603
                list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder,
                env={**os.environ, **(env or {})}, process_group=self._guard.pid,
            )  # fmt: skip
        process = Process(name, popen, log)
        self.members.append(process)
        return process

    def stop(self, process: Process) -> None:
        """End one member before the others."""
        process.stop()
        self.members.remove(process)

    def close(self) -> None:
        """Kills all members, whose data nobody needs any more, and ends the guard."""
        for process in self.members:
            process.popen.kill()
        while self.members:
            self.members.pop().popen.wait()
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def wait(self, what: str, probe: Callable[[], T], timeout_s: float, every_s: float = POLL_S) -> T:
        """Poll ``probe`` until it answers something true; raises TimeoutError, or RuntimeError if a member ended."""
        end = time.monotonic() + timeout_s
        while True:
            for process in self.members:
                process.check()
            if answer := probe():
                return answer
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not after {timeout_s:g} s")
            time.sleep(every_s)

    def memory_mib(self) -> int:
        """Resident memory of all members; 0 where there is no /proc."""
        total = 0
        for process in self.members:
            status = Path(f"/proc/{process.popen.pid}/status")
            if status.exists():
                lines = status.read_text().splitlines()
                total += sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
        return total
