"""A Debian for arm64 in a folder, with Vedette's wheel and its [edge] installed by its own Python; made step by step.

Guarantees: what a step made is kept, so that a run which was stopped goes on where it was; a step either is whole (its
folder carries its last name, or its stamp) or starts again. Packages and wheels come from where this machine's apt and
pip fetch theirs; after that nothing needs a network, and programs of the root get none.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from namespaces import reason_not_to, started

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
ENGINES = "vedette[edge,openvino]"  # [edge] leaves OpenVINO out on arm64; its wheel is there and is tried as well
HOME = "/opt/vedette"
OLDEST_GLIBC = 17  # manylinux2014
TELL_EVERY_S = 5.0
CORE = (
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    "CPU variant\t: 0x1\nCPU part\t: 0xd07\nCPU revision\t: 1\n"
)  # Cortex-A57, as `namespaces.ENVIRONMENT` has it
PROGRAMS = {  # what is run on this machine, and the package that brings it
    "debootstrap": "debootstrap", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "unshare": "util-linux",
    "chroot": "coreutils", "setpriv": "util-linux", "apt-get": "apt", "dpkg-deb": "dpkg",
}  # fmt: skip


class Arm64Error(Exception):
    """A step failed; the message says which, and where its log is."""


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def missing() -> str | None:
    """Why this machine cannot do it, and how to mend that; None when it can."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "this is no Linux on x86-64; on an arm64 machine `make test` itself is the test"
    if os.geteuid() != 0:
        return "only root can lay out a root file system with files of many users: sudo make test-arm64"
    packages = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if packages:
        return f"not installed: apt-get install {' '.join(packages)}"
    return reason_not_to()


@dataclass(frozen=True)
class Arm64Root:
    """The folder that holds all of it; `VEDETTE_ARM64` names another than the user's cache."""

    folder: Path

    @classmethod
    def of_environment(cls) -> "Arm64Root":
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(Path(os.environ.get("VEDETTE_ARM64") or cache / "vedette" / "arm64"))

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def arguments(self, shared: Path, command: Sequence[str | Path]) -> list[str | Path]:
        """What `namespaces.started` wants in order to run a program of the whole root, in `shared`, its /mnt."""
        return [self.root, self._qemu, self.folder / "cpuinfo", shared, *command]

    def run(
        self, shared: Path, command: Sequence[str | Path], timeout_s: float = 600.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of the root in `shared` and wait for it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(self.arguments(shared, command), **pipes) as process:
            output, errors = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(list(map(str, command)), process.returncode, output, errors)

    def prepare(self, wheel: Path) -> dict[str, float]:
        """Make what is not there yet; gives the seconds of each step that had work to do.

        Raises:
            Arm64Error: a step failed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "cpuinfo").write_text("".join(f"processor\t: {number}\n{CORE}\n" for number in range(2)))
        steps: Sequence[tuple[str, Callable[[], bool]]] = (
            ("qemu", self._fetch_qemu),
            ("root, first half: packages fetched and unpacked", self._unpack_root),
            ("root, second half: packages set up by qemu", self._set_up_root),
            ("wheels for aarch64", lambda: self._fetch_wheels(wheel)),
            ("Python packages, installed by the root's pip", self._install_packages),
            ("Vedette's wheel", lambda: self._install_wheel(wheel)),
        )
        times = {}
        for title, step in steps:
            begun_s = time.monotonic()
            if step():
                times[title] = round(time.monotonic() - begun_s, 1)
                say(f"{title}: {times[title]:.0f} s")
            else:
                say(f"{title}: there already")
        return times

    @property
    def _qemu(self) -> Path:
        return self.folder / "qemu-aarch64-static"

    def _fetch_qemu(self) -> bool:
        """The static one, which works inside a root; from its package, so that nothing is installed here."""
        if self._qemu.is_file():
            return False
        there = shutil.which("qemu-aarch64-static")
        if there is None:
            scratch = _empty(self.folder / "qemu.part")
            self._follow("qemu", ["apt-get", "download", "qemu-user-static"], cwd=scratch)
            (package,) = scratch.glob("*.deb")
            self._follow("qemu", ["dpkg-deb", "-x", package, scratch])
            there = str(scratch / "usr/bin/qemu-aarch64-static")
        shutil.copy(there, self.folder / "qemu.copy")
        (self.folder / "qemu.copy").replace(self._qemu)
        shutil.rmtree(self.folder / "qemu.part", ignore_errors=True)
        return True

    def _unpack_root(self) -> bool:
        if (self.folder / "unpacked").is_dir() or self.root.is_dir():
            return False
        part, packages = _empty(self.folder / "unpacked.part"), self.folder / "packages"
        packages.mkdir(exist_ok=True)
        command = [
            "debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", f"--include={PACKAGES}",
            "--force-check-gpg", f"--cache-dir={packages}", SUITE, part, apt_source(),
        ]  # fmt: skip
        self._follow("first half", command, environment=apt_proxy())
        part.rename(self.folder / "unpacked")
        return True

    def _set_up_root(self) -> bool:
        if self.root.is_dir():
            return False
        part = self.folder / "root.part"
        shutil.rmtree(part, ignore_errors=True)
        self._follow("second half", ["cp", "-a", self.folder / "unpacked", part])
        inside = [part, self._qemu, "-", "-", "/debootstrap/debootstrap", "--second-stage"]
        # debootstrap makes no device nodes in an lxc container, as nobody may in a user namespace; they are there.
        self._follow_inside("second half", inside, {"container": "lxc", "DEBIAN_FRONTEND": "noninteractive"})
        part.rename(self.root)
        shutil.rmtree(self.folder / "unpacked")
        return True

    def _fetch_wheels(self, wheel: Path) -> bool:
        """What [edge] needs, for the root's Python and glibc; kept until the requirements change."""
        wheels, wanted = self.folder / "wheels", _digest(REPOSITORY / "pyproject.toml")
        if _stamp(wheels) == wanted:
            return False
        part = _empty(self.folder / "wheels.part")
        python = (self.root / "usr/bin/python3").readlink().name.removeprefix("python")
        platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(self._glibc_minor(), OLDEST_GLIBC - 1, -1)]
        command = [
            sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--only-binary=:all:",
            "--python-version", python, "--dest", part,
            *(f"--platform={one}" for one in (*platforms, "manylinux2014_aarch64")),
            f"{ENGINES} @ {wheel.as_uri()}",
        ]  # fmt: skip
        self._follow("wheels", command)
        for own in part.glob("vedette-*.whl"):
            own.unlink()  # changes with every commit
        (part / "stamp").write_text(wanted)
        shutil.rmtree(wheels, ignore_errors=True)
        part.rename(wheels)
        return True

    def _glibc_minor(self) -> int:
        status = (self.root / "var/lib/dpkg/status").read_text("utf-8")
        found = re.search(r"^Package: libc6\n(?:.+\n)*?Version: 2\.(\d+)", status, re.MULTILINE)
        if found is None:
            raise Arm64Error(f"{self.root} has no glibc; remove {self.folder} and start again")
        return int(found[1])

    def _install_packages(self) -> bool:
        wheels, wanted = self.folder / "wheels", _stamp(self.folder / "wheels")
        home = self.root / HOME.lstrip("/")
        if _stamp(home) == wanted:
            return False
        shutil.rmtree(home, ignore_errors=True)
        self._follow_inside("packages", self.arguments(wheels, ["python3", "-m", "venv", HOME]))
        names = [one.name for one in sorted(wheels.glob("*.whl"))]
        self._follow_inside("packages", self.arguments(wheels, [*_pip("--no-deps"), *names]))
        (home / "stamp").write_text(wanted)
        return True

    def _install_wheel(self, wheel: Path) -> bool:
        """Vedette, and pip's own word that every requirement of [edge] is met by what is installed."""
        stamp = self.root / HOME.lstrip("/") / "wheel"
        if stamp.is_dir() and _stamp(stamp) == _digest(wheel):
            return False
        own = _pip("--no-index", "--find-links", ".")
        again = [*own, "--force-reinstall", "--no-deps", wheel.name]
        self._follow_inside("wheel", self.arguments(wheel.parent, again))
        self._follow_inside("wheel", self.arguments(wheel.parent, [*own, f"vedette[edge] @ file:///mnt/{wheel.name}"]))
        self._follow_inside("wheel", self.arguments(wheel.parent, [f"{HOME}/bin/python", "-m", "pip", "check"]))
        stamp.mkdir(exist_ok=True)
        (stamp / "stamp").write_text(_digest(wheel))
        return True

    def _follow_inside(
        self, title: str, arguments: Sequence[str | Path], environment: dict[str, str] | None = None
    ) -> None:
        with started(arguments, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            self._watch(title, process)

    def _follow(
        self, title: str, command: Sequence[str | Path], environment: dict[str, str] | None = None, **options: Path
    ) -> None:
        with subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, **(environment or {})}, **options,
        ) as process:  # fmt: skip
            try:
                self._watch(title, process)
            finally:
                process.terminate()

    def _watch(self, title: str, process: "subprocess.Popen[str]") -> None:
        """Everything that it says goes to the log, its newest line to the screen now and then."""
        told_s, begun_s, last = time.monotonic(), time.monotonic(), ""
        with self.log.open("a", encoding="utf-8") as log:
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                last = line.strip() or last
                if time.monotonic() - told_s > TELL_EVERY_S:
                    told_s = time.monotonic()
                    say(f"  {title}, {told_s - begun_s:.0f} s: {last[:100]}")
        if process.wait():
            raise Arm64Error(f"{title}: exit code {process.returncode}: {last}\nall that was said: {self.log}")


def apt_source() -> str:
    """Where this machine's apt fetches Debian's packages from; `VEDETTE_ARM64_MIRROR` names another place.

    Raises:
        Arm64Error: apt knows of no Debian.
    """
    given = os.environ.get("VEDETTE_ARM64_MIRROR")
    if given:
        return given
    form = "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.split("|") for line in listed.stdout.splitlines()]
    rows = [row for row in rows if len(row) == 4 and row[:2] == ["Debian", "main"]]
    found = [row for row in rows if row[2] == SUITE] or [row for row in rows if "-" not in row[2]]
    if not found:
        raise Arm64Error("apt knows no place with Debian's packages; name one: VEDETTE_ARM64_MIRROR=URL")
    return found[0][3]


def apt_proxy() -> dict[str, str]:
    """apt's proxy, for debootstrap, which asks the environment."""
    told = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    )
    found = re.fullmatch(r"proxy='(.+)'", told.stdout.strip())
    return {} if found is None or "http_proxy" in os.environ else {"http_proxy": found[1]}


def _pip(*options: str) -> list[str]:
    quiet = ["--disable-pip-version-check", "--no-compile", "--progress-bar=off", "--no-index"]
    return [f"{HOME}/bin/python", "-m", "pip", "install", *quiet, *options]


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamp(folder: Path) -> str:
    try:
        return (folder / "stamp").read_text()
    except FileNotFoundError:
        return ""
