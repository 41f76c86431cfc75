"""One virtual environment for each rival, apart from ours: nothing in them is a dependency of ours or imported.

`python -m benchmarks.rivals set-up DIR` makes them with pip from requirements/*.txt. Ultralytics is AGPL-3.0: whoever
sets its environment up gets it from PyPI under its own licence; it is run as a program of its own, for measuring.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("opencv", "openvino", "ultralytics")
SHOWN = ("numpy", "opencv-python", "openvino", "nncf", "torch", "trackers", "ultralytics")


def set_up(folder: Path) -> None:
    """Make every environment, or bring it up to date."""
    for name in NAMES:
        home = folder / name
        if not (home / "bin" / "python").is_file():
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
        requirements = HERE / "requirements" / f"{name}.txt"
        print(f"{name}: installing what {requirements.name} names", file=sys.stderr)
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", requirements], check=True)


def python_of(folder: Path, name: str) -> str:
    """The interpreter of an environment.

    Raises:
        SystemExit: when it has not been set up.
    """
    path = folder / name / "bin" / "python"
    if not path.is_file():
        raise SystemExit(f"{path} is missing; make it with: python -m benchmarks.rivals set-up {folder}")
    return str(path)


def versions(folder: Path) -> dict[str, dict[str, str]]:
    """What is installed in each environment, as far as it matters."""
    found = {}
    for name in NAMES:
        listing = [python_of(folder, name), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
        packages = json.loads(subprocess.run(listing, capture_output=True, text=True, check=True).stdout)
        found[name] = {one["name"]: one["version"] for one in packages if one["name"].lower() in SHOWN}
    return found
