"""A program in the place of `train`, quick and obedient: its hyper-parameters say what it does there.

`writes` files (JSON: name -> content) and `removes` some, `says` a line, `waits` for SIGTERM unless checkpoints were
restored, `ignores` SIGTERM, `ends` with a code; `only` on one host, while the others wait. What it was given lies in
the model folder, below its host's name.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    base = Path(os.environ["SAGEMAKER_BASE_DIR"])
    config = base / "input" / "config"
    asked = json.loads((config / "hyperparameters.json").read_text())
    host = json.loads((config / "resourceconfig.json").read_text())["current_host"]
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    seen = base / "model" / host
    shutil.copytree(config, seen)
    (seen / "environment.json").write_text(json.dumps({**os.environ, "arguments": " ".join(sys.argv[1:])}))
    (seen / "inputs.json").write_text(json.dumps(_tree(base / "input" / "data")))
    restored = _tree(base / "checkpoints")
    (seen / "checkpoints.json").write_text(json.dumps(restored))
    for name, content in json.loads(asked.get("writes", "{}")).items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(content)
    for name in json.loads(asked.get("removes", "[]")):
        (base / name).unlink()
    sys.stdout.write(asked.get("says", "started") + "\n")
    sys.stdout.flush()
    others = asked.get("only", host) != host
    while (others or "waits" in asked) and not restored and not stopped:
        time.sleep(0.05)
    while "ignores" in asked:
        time.sleep(1)
    return 0 if others else int(asked.get("ends", "0"))


def _tree(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): f"{path.stat().st_mode & 0o777:o} {path.read_text()}" for path in files
    }


if __name__ == "__main__":
    sys.exit(main())
