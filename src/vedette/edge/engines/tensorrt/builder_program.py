"""The process that builds an engine: `python -m vedette.edge.engines.tensorrt.builder_program RECIPE.json`.

A process of its own, because no TensorRT before 10 can be stopped while it builds, a builder that runs out of memory
takes its process with it, and what it used goes back when it ends. Speaks in JSON lines on standard output.
"""

import json
import sys
from pathlib import Path

from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.tensorrt.recipe import Recipe, build


def main(arguments: list[str]) -> int:
    """Build what the recipe says; the exit code is 0 when the engine is written."""
    import tensorrt as trt

    recipe = Recipe.from_json(Path(arguments[0]).read_text("utf-8"))
    try:
        build(trt, recipe, lambda phase, done, steps: _say({"phase": phase, "done": done, "steps": steps}))
    except EngineError as error:
        _say({"error": str(error)})
        return 1
    return 0


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
