"""Compiles Vedette's sources as an installation does, so that a measured start reads them and does not compile them.

Sources that were edited since, or a PYTHONDONTWRITEBYTECODE, cost a run 0.2 s of a processor; rivals are installed.
"""

import compileall
import functools
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "src" / "vedette"


@functools.cache
def compile_sources() -> None:
    """Once for each program that measures."""
    compileall.compile_dir(SOURCES, quiet=1)
