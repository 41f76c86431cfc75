"""What stands beside every measured number: the host, the versions, the commit, the time."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

PACKAGES = ("av", "cyclopts", "numpy", "obstore", "onnxruntime", "opencv-python-headless", "openvino", "torch")


def identify_code() -> dict[str, Any]:
    """What is about to be measured: the commit, and how many files differ from it (results of benchmarks apart)."""
    changed = _git("status", "--porcelain", "--", ":/", ":(exclude,top)benchmarks/results")
    return {"commit": _git("rev-parse", "--short=12", "HEAD"), "changed_files": len(changed.splitlines())}


def record(name: str, code: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """One document for benchmarks/results; `code` is what `identify_code` said before the measurement."""
    return {
        "benchmark": name,
        "measured_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **code,
        "host": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {package: _version(package) for package in PACKAGES},
        "figures": figures,
    }


def _git(*arguments: str) -> str:
    root = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags]
    return f"{names[0] if names else platform.machine()} ({' '.join(wide)})"


def data_folder(*needed: str) -> Path:
    """The folder of real data, which has these folders; ends the program with a sentence where it has not."""
    data = Path(os.environ.get("VEDETTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")).resolve()
    missing = [name for name in needed if not (data / name).is_dir()]
    if missing:
        raise SystemExit(f"real data is needed: {data} has no {' and no '.join(missing)}; set VEDETTE_DATA")
    return data
