"""The servers that a rehearsal runs: built once per version from released Go modules, or taken from REHEARSAL_BIN.

The module files below modules/ fix every version and checksum. They hold the version that components/versions.py
asks for or, where the module proxy lacks it, the nearest one below; ``Toolchain.notes`` states such differences.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components import versions

MODULES = Path(__file__).parent / "modules"
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "karpenter")
KUBERNETES = "k8s.io/kubernetes"
KARPENTER = "github.com/aws/karpenter-provider-aws"
ETCD = "go.etcd.io/etcd/server/v3"
_CRDS = Path("pkg") / "apis" / "crds"
_MODULE_OF = {"etcd": ETCD, "kube": KUBERNETES, "karpenter": KARPENTER}


class ToolchainMissingError(RuntimeError):
    """The servers are neither there nor can they be built; the message says what to install."""


@dataclass(frozen=True)
class Toolchain:
    """Where the servers lie and what differs from the versions that the program deploys."""

    servers: Path
    crds: Path | None
    """Folder of Karpenter's CRDs; None where REHEARSAL_BIN has no ``crds`` folder and there is no Go to fetch them."""
    built: Mapping[str, str]
    """Version by module folder name: etcd, kube, karpenter."""
    notes: tuple[str, ...]


def built_versions() -> dict[str, str]:
    """Return the versions that modules/ pins, without the leading v, by folder name."""
    found = {}
    for folder, module in _MODULE_OF.items():
        text = (MODULES / folder / "go.mod").read_text()
        match = re.search(rf"^require {re.escape(module)} v(\S+)$", text, re.MULTILINE)
        if match is None:
            raise ToolchainMissingError(f"{MODULES / folder / 'go.mod'} does not require {module}")
        found[folder] = match.group(1)
    return found


def differences(built: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the rehearsal runs other than components/versions.py says, as sentences."""
    notes = []
    wanted = versions.KARPENTER.version
    if built["karpenter"] != wanted:
        notes.append(
            f"Karpenter {built['karpenter']} stands in for {wanted}: the module proxy lacks a dependency of {wanted}."
        )
    if not built["kube"].startswith(f"{versions.KUBERNETES}."):
        notes.append(f"Kubernetes {built['kube']} stands in for {versions.KUBERNETES}.")
    return tuple(notes)


def cache_folder() -> Path:
    """Where the servers of these versions are kept between runs, clones included."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = built_versions()
    return root / "llm-serving" / "rehearsal" / "-".join(f"{name}{version}" for name, version in built.items())


def toolchain() -> Toolchain:
    """Return the servers, built on first use (a quarter of an hour on two cores, progress on stderr).

    Raises ToolchainMissingError without REHEARSAL_BIN, without a finished build and without Go.
    """
    built = built_versions()
    notes = differences(built)
    if given := os.environ.get("REHEARSAL_BIN"):
        folder = Path(given).resolve()
        if missing := [name for name in SERVERS if not (folder / name).exists()]:
            raise ToolchainMissingError(f"REHEARSAL_BIN={given} lacks {', '.join(missing)}.")
        own = ("The servers come from REHEARSAL_BIN: their versions are whatever was built there.",)
        return Toolchain(folder, _crds_beside(folder), built, own + notes)
    ensure_available()
    folder = cache_folder()
    if not (folder / "complete").exists():
        _build(folder, built, shutil.which("go") or "go")
    return Toolchain(folder, folder / "crds", built, notes)


def ensure_available() -> None:
    """Raise ToolchainMissingError where the servers are neither there nor can be built. Builds nothing."""
    if os.environ.get("REHEARSAL_BIN") or (cache_folder() / "complete").exists() or shutil.which("go"):
        return
    texts = [(MODULES / name / "go.mod").read_text() for name in _MODULE_OF]
    needed = max(re.findall(r"^go (\S+)$", text, re.MULTILINE)[0] for text in texts)
    raise ToolchainMissingError(
        f"The rehearsal builds Kubernetes and Karpenter once and found no Go. Install Go {needed} or newer "
        "(https://go.dev/dl/), or set REHEARSAL_BIN to a folder that holds " + ", ".join(SERVERS) + "."
    )


def _crds_beside(folder: Path) -> Path | None:
    """Karpenter's CRDs: ``crds`` below a REHEARSAL_BIN folder, else from its Go module where Go can fetch it."""
    if (folder / "crds").is_dir():
        return folder / "crds"
    go = shutil.which("go")
    return _module_folder(go) / _CRDS if go else None


def _build(folder: Path, built: Mapping[str, str], go: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_suffix(".lock")):
        if (folder / "complete").exists():
            return
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder.parent) as work:
            out = Path(work) / "out"
            out.mkdir()
            for name in _MODULE_OF:
                _say(f"building {name} {built[name]} (cached afterwards in {folder})")
                _run(go, name, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", *_targets(name, built, out))
            shutil.copytree(_module_folder(go) / _CRDS, out / "crds")
            (out / "complete").write_text("\n".join(f"{k} {v}" for k, v in built.items()) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            out.rename(folder)


def _targets(name: str, built: Mapping[str, str], out: Path) -> list[str]:
    """Arguments of go build: stripped binaries that report the version they were built from."""
    if name == "etcd":
        return ["-ldflags=-s -w", "-o", str(out / "etcd"), ETCD]
    if name == "karpenter":
        stamp = f"-ldflags=-s -w -X sigs.k8s.io/karpenter/pkg/operator.Version={built[name]}"
        return [stamp, "-o", str(out / "karpenter"), f"{KARPENTER}/cmd/controller"]
    major, minor, _ = built[name].split(".", 2)
    package = "k8s.io/component-base/version"
    stamp = (
        f"-ldflags=-s -w -X {package}.gitVersion=v{built[name]} "
        f"-X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
    commands = [f"{KUBERNETES}/cmd/{server}" for server in SERVERS if server.startswith("kube-")]
    return [stamp, "-o", f"{out}/", *commands]


def _module_folder(go: str) -> Path:
    _run(go, "karpenter", "mod", "download", KARPENTER)
    listed = _run(go, "karpenter", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", KARPENTER)
    return Path(listed.strip())


def _run(go: str, module: str, *arguments: str) -> str:
    """Run go in one module folder; what it downloads shows on stderr."""
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [go, *arguments], cwd=MODULES / module, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise ToolchainMissingError(f"go {arguments[0]} of {module} failed with {done.returncode}; see above.")
    return done.stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Two runs at once build once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"rehearsal: {text}", file=sys.stderr, flush=True)
