"""`vedette jetson provision`: the way from a board in its box to one that watches, step by step."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import ResultError, UsageError

if TYPE_CHECKING:
    from vedette.edge.jetson.provisioning import Board, Step
    from vedette.edge.jetson.step_checks import State

SIGNS = {"done": "ok", "to do": "to do", "unknown": "?"}
MOST_OUTPUT = 1 << 20


def provision(
    *,
    board: Annotated[str, Parameter(help="jetson-nano, orin-nano, agx-orin ...; a wrong one lists them all")],
    jetpack: Annotated[str | None, Parameter(help="another than the newest JetPack of the board")] = None,
    sdk_manager: Annotated[Literal["1", "2"], Parameter(help="major version of NVIDIA SDK Manager on the host")] = "2",
    run: Annotated[str | None, Parameter(help="do this step here: run its commands, then check it")] = None,
    root: Annotated[Path, Parameter(help="look at the files of another box")] = Path("/"),
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """The steps from a new board to one that watches: flashing, packages, power, NVIDIA's sample, Vedette, the service.

    Shows which are done, as far as this machine can tell: on the computer that flashes, its own steps; on the Jetson,
    the Jetson's. The commands of a step can be copied, or done with `--run STEP`, which checks the step afterwards.
    What only hands can do is said in words.
    """
    from vedette.apps.console import print_json
    from vedette.edge.jetson.boards import stack_of, version_key
    from vedette.edge.jetson.provisioning import BOARDS, plan_steps

    chosen = BOARDS.get(board)
    if chosen is None:
        raise UsageError(f"there is no board '{board}'; boards: {', '.join(BOARDS)}")
    version = jetpack or chosen.jetpack
    if stack_of(version) is None:
        raise UsageError(f"JetPack {version} is none that Vedette knows; for this board {chosen.jetpack} is the newest")
    if version_key(version) > version_key(chosen.jetpack):
        raise UsageError(f"JetPack {version} does not run on the {chosen.title}; {chosen.jetpack} is its newest")
    steps = plan_steps(chosen, version, int(sdk_manager))
    if run is not None:
        step = next((one for one in steps if one.name == run), None)
        if step is None:
            raise UsageError(f"there is no step '{run}'; steps: {', '.join(one.name for one in steps)}")
        if root != Path("/"):
            raise UsageError("--run does a step on this machine; leave --root out")
        _do(step, chosen, version)
        return 0
    seen = _look(steps, chosen, version, root)
    if json:
        told = [
            {**one.step.to_json(), "commands": list(one.commands), "state": one.state.value, "words": one.words}
            for one in seen
        ]
        print_json({"board": chosen.name, "jetpack": version, "steps": told})
    else:
        _print(seen, f"{chosen.title}, JetPack {version}")
    return 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A step, its state, a few words about it, and the commands that do it here."""

    step: Step
    state: State
    words: str
    commands: tuple[str, ...]


def _look(steps: list[Step], board: Board, jetpack: str, root: Path) -> list[_Seen]:
    from vedette.apps.doctor import ask, engine_findings, files_below
    from vedette.edge.jetson.examining import examine
    from vedette.edge.jetson.step_checks import check_step, commands_for

    files = files_below(root)
    here = files.is_this_machine
    found = examine(files, ask if here else lambda program: None)
    more = engine_findings(here)
    seen = []
    for step in steps:
        state, words = check_step(step, board, jetpack, files, found, more=more)
        seen.append(_Seen(step, state, words, commands_for(step, [*found.findings, *more])))
    return seen


def _do(step: Step, board: Board, jetpack: str) -> None:
    """Run the commands of a step, each shown before; then check.

    Raises:
        UsageError: it is for another machine, or for hands.
        ResultError: a command failed, or the step is not done after all.
    """
    from vedette.apps.console import print_line, warn

    (before,) = _look([step], board, jetpack, Path("/"))
    if before.words.startswith("to be seen on"):
        raise UsageError(f"the step '{step.name}' is {before.words}")
    if before.state.value == "done":
        print_line(f"ok: {before.words}; nothing is left to do")
        return
    for line in step.by_hand:
        warn(f"by hand: {line}")
    if not before.commands:
        raise UsageError(f"the step '{step.name}' has no commands to run; it is for hands")
    said = ""
    for command in before.commands:
        print_line(f"$ {command}")
        said, code = _run(command)
        if code:
            raise ResultError(f"the step '{step.name}' failed with exit code {code} at: {command}")
    if step.proof is not None:
        if re.search(step.proof, said) is None:
            raise ResultError(f"the step '{step.name}' did not print what proves it ({step.proof})")
        print_line(f"ok: {step.title}")
        return
    (after,) = _look([step], board, jetpack, Path("/"))
    if after.state.value == "to do":
        raise ResultError(f"the step '{step.name}' is not done after all: {after.words}")
    print_line(f"{SIGNS[after.state.value]}: {after.words}")


def _run(command: str) -> tuple[str, int]:
    """Run a line of bash, its output shown as it comes; gives the end of it and the exit code."""
    from vedette.apps.console import print_line

    said = ""
    with subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        for line in running.stdout or ():
            print_line(line.rstrip("\n"))
            said = (said + line)[-MOST_OUTPUT:]
    return said, running.returncode


def _print(seen: list[_Seen], title: str) -> None:
    from vedette.apps.console import print_line

    print_line(title)
    for number, one in enumerate(seen, 1):
        print_line()
        step = one.step
        print_line(f"{number}. [{SIGNS[one.state.value]}] {step.name}, on the {step.where.value}: {step.title}")
        print_line(f"   {one.words}")
        if one.state.value == "done":
            continue
        for line in step.by_hand:
            print_line(f"   - {line}")
        for command in one.commands:
            print_line(f"   $ {command}")
        if step.topics and not one.commands:
            print_line("   - on the box, vedette doctor says what is missing and how to mend it")
