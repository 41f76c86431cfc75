"""Lines and zones drawn on the page: checked as a pipeline's, saved into its file, in force at once.

Those of the top of a pipeline belong to every camera and are changed for every camera. A run that was started by flags
has no file to save into: its pipeline can be taken from the page as one. The order is: check, save, put in force; when
a camera's picture is such that a line has no length in it, the file is put back.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vedette.apps.pipeline_errors import PipelineError, check_pipeline
from vedette.apps.pipeline_file import parse_pipeline
from vedette.apps.pipeline_writing import pipeline_text, rules_of, text_with_rules
from vedette.apps.whole_files import write_whole
from vedette.contracts.errors import InputError
from vedette.contracts.pipeline import Camera, Pipeline
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.live.errors import RulesError

MOST_RULES = 100  # of a camera


class RulesDesk:
    """`edge.live.rules_routes.Desk` of one run; thread-safe."""

    def __init__(self, pipeline: Pipeline, put_in_force: Callable[[Pipeline], None], file: Path | None) -> None:
        self._pipeline = pipeline
        self._put_in_force = put_in_force
        self._file = file
        self._lock = threading.Lock()

    def rules(self, camera: str) -> dict[str, Any] | None:
        """What is drawn for a camera, as written; None where there is no such camera."""
        found = self._camera(camera)
        if found is None:
            return None
        document = {key: _drawn(self._pipeline, found, key) for key in ("lines", "zones")}
        saved_to = None if self._file is None else self._file.name
        return {**document, "revision": _revision(document), "saved_to": saved_to}

    def save(self, camera: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Put in the place of a camera's lines and zones what was drawn; what is drawn now.

        Raises:
            RulesError: it cannot be, cannot be saved, or somebody else has changed it meanwhile; nothing is changed.
        """
        with self._lock:
            before = self.rules(camera)
            if before is None:
                raise RulesError(f"there is no camera '{camera}'")
            if drawn.get("revision") != before["revision"]:
                raise RulesError("somebody else has changed these lines and zones meanwhile; discard yours to see them")
            changed = self._changed(camera, drawn)
            restore = self._write(changed)
            try:
                self._put_in_force(changed)
            except GeometryError as error:
                self._put_in_force(self._pipeline)
                restore()
                raise RulesError(str(error)) from error
            self._pipeline = changed
            return self.rules(camera) or {}

    def as_file(self) -> str:
        """The pipeline as it runs now, as the text of a file."""
        return pipeline_text(self._pipeline)

    def _camera(self, name: str) -> Camera | None:
        return next((one for one in self._pipeline.cameras if one.name == name), None)

    def _changed(self, camera: str, drawn: Mapping[str, Any]) -> Pipeline:
        document = self._pipeline.model_dump(mode="json", exclude_unset=True)
        number = [one.name for one in self._pipeline.cameras].index(camera)
        for key in ("lines", "zones"):
            items = drawn.get(key)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise RulesError(f"'{key}' must be a list of what was drawn")
            if len(items) > MOST_RULES:
                raise RulesError(f"{len(items)} {key} of one camera are too many; {MOST_RULES} is the most")
            plain = [{k: v for k, v in item.items() if k != "shared" and v is not None} for item in items]
            document[key] = [one for one, item in zip(plain, items, strict=True) if item.get("shared")]
            document["cameras"][number][key] = [
                one for one, item in zip(plain, items, strict=True) if not item.get("shared")
            ]
        names = [str(item.get("name")) for key in ("lines", "zones") for item in drawn[key]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RulesError(f"{', '.join(twice)}: each line and zone of a camera needs a name of its own")
        try:
            return check_pipeline(document, "what was drawn")
        except PipelineError as error:
            raise RulesError("; ".join(_for_a_person(mistake, document) for mistake in error.mistakes)) from error

    def _write(self, changed: Pipeline) -> Callable[[], None]:
        """Save, and how to undo it."""
        file = self._file
        if file is None:
            return lambda: None
        try:
            target = file.resolve()
            before = target.read_bytes()
            if rules_of(parse_pipeline(before.decode(), str(file))) != rules_of(self._pipeline):
                raise RulesError(
                    f"{file} was changed by hand since this run read it; start the run again to draw on it"
                )
            write_whole(target, text_with_rules(before.decode(), changed, str(file)).encode(), like=target)
        except (OSError, UnicodeDecodeError) as error:
            raise RulesError(f"the pipeline file {file} cannot be read: {error}") from error
        except RulesError:
            raise
        except PipelineError as error:
            raise RulesError(f"{file} cannot be saved into: {'; '.join(error.mistakes)}") from error
        except InputError as error:
            raise RulesError(f"{error}; let this program write it, or take the pipeline from /pipeline.yaml") from error
        return lambda: write_whole(target, before, like=target)


def _drawn(pipeline: Pipeline, camera: Camera, key: str) -> list[dict[str, Any]]:
    """Those of all cameras, then the camera's own."""
    shared, own = getattr(pipeline, key), getattr(camera, key)
    return [
        {**rule.model_dump(mode="json", exclude_none=True), "shared": is_shared}
        for rules, is_shared in ((shared, True), (own, False))
        for rule in rules
    ]


def _revision(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _for_a_person(mistake: str, document: Mapping[str, Any]) -> str:
    """A mistake with the line's or zone's name in the place of its path, which nobody has seen."""
    path, _, words = mistake.partition(": ")
    found = re.match(r"(?:cameras\[(\d+)\]\.)?(lines|zones)\[(\d+)\](?:\.(\w+))?", path)
    if found is None:
        return mistake
    camera, key, number, field = found.groups()
    listed = (document if camera is None else document["cameras"][int(camera)])[key]
    name = listed[int(number)].get("name", "")
    return f"{key[:-1]} '{name}': {field + ' ' if field else ''}{words}"
