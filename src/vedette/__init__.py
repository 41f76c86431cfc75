"""Vedette closes the loop between the cloud that trains and the edge that sees.

Two names are all most programs need; both are loaded on first use, so that `import vedette` costs nothing:

    detector = vedette.load("bundle/")            # a callable: picture in, Detections out
    for event in vedette.watch("pipeline.yaml"):  # CloudEvents from many cameras
        ...
"""

from typing import TYPE_CHECKING, Any

from vedette.version import __version__

if TYPE_CHECKING:
    from vedette.apps.library import load, watch

__all__ = ["__version__", "load", "watch"]


def __getattr__(name: str) -> Any:
    if name in {"load", "watch"}:
        from vedette.apps import library

        return getattr(library, name)
    raise AttributeError(f"module 'vedette' has no attribute {name!r}")
