"""GLib itself, as the oracle of key files."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def glib(real_data: Path) -> ModuleType:
    """GLib's own parser, through ctypes."""
    path = real_data.parent / "oracles" / "glib_keyfile.py"
    if not path.is_file():
        pytest.skip(f"no GLib oracle: {path} is no file")
    spec = importlib.util.spec_from_file_location("glib_keyfile", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        pytest.skip(f"no GLib: {error}")
    return module
