"""Rules of the house that no linter checks: sizes, broad excepts, light imports, no path of anybody's machine."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src" / "vedette"
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400
GIVEN_REASON = re.compile(r"# noqa: BLE001 - \w+")  # a thread that hands its error to another, say
MOST_FUNCTION_LINES = 50
HEAVY = {"torch", "numpy", "cv2", "av", "pydantic", "onnx", "onnxruntime", "openvino", "matplotlib", "starlette"}
MACHINE_PATHS = [f"/{folder}/" for folder in ("work", "root", "home/user")]  # put together, so that this file may stand
TEXT_ENDINGS = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".svg",
    ".sh",
    ".txt",
    ".cfg",
    "",
}


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def repository_files() -> list[Path]:
    """What is, or is about to be, in version control; every file of the usual folders where there is none."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]
    folders = [REPOSITORY / name for name in ("src", "tests", "docs", "benchmarks")]
    return [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def commands() -> list[str]:
    """The modules that `vedette.apps.cli` names for its commands."""
    return sorted(set(re.findall(r'"(vedette\.apps\.\w+):\w+"', (SOURCE / "apps" / "cli.py").read_text("utf-8"))))


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 30
    assert len(commands()) > 5
    assert REPOSITORY / "pyproject.toml" in repository_files()


def test_modules_are_at_most_400_lines() -> None:
    long = {
        relative(path): lines for path in MODULES if (lines := len(path.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_functions_are_at_most_50_lines() -> None:
    long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = node.body[0].end_lineno - node.lineno if ast.get_docstring(node) else 0
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring  # help texts are not code
                if lines > MOST_FUNCTION_LINES:
                    long[f"{relative(path)}:{node.name}"] = lines
    assert long == {}


def test_every_module_opens_with_a_docstring() -> None:
    assert [relative(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


def test_package_files_hold_a_docstring_only() -> None:
    with_code = [
        relative(path)
        for path in SOURCE.rglob("__init__.py")
        if path.parent != SOURCE and len(ast.parse(path.read_text("utf-8")).body) != 1
    ]
    assert with_code == []


def test_a_broad_except_raises_again_or_says_why_not() -> None:
    silent = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and is_broad(node.type)
        and not raises(node)
        and not GIVEN_REASON.search(path.read_text("utf-8").splitlines()[node.lineno - 1])
    ]
    assert silent == []


def is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(is_broad(one) for one in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"})


def raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for statement in handler.body for node in ast.walk(statement))


@pytest.mark.parametrize(
    ("source", "silent"),
    [
        ("try: f()\nexcept Exception: pass", True),
        ("try: f()\nexcept: pass", True),
        ("try: f()\nexcept (OSError, BaseException): pass", True),
        ("try: f()\nexcept Exception:\n    g()\n    raise", False),
        ("try: f()\nexcept OSError: pass", False),
    ],
)
def test_the_check_of_broad_excepts_can_tell(source: str, silent: bool) -> None:
    handler = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler))
    assert (is_broad(handler.type) and not raises(handler)) is silent


def test_commands_and_their_tree_import_nothing_heavy() -> None:
    """A fresh interpreter for each: what one imports must not hide what another does."""
    script = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"
    heavy = {}
    for name in ["vedette", "vedette.apps.cli", "vedette.apps.console", *commands()]:
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        found = HEAVY & set(json.loads(done.stdout))
        if found:
            heavy[name] = sorted(found)
    assert heavy == {}


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in repository_files():
        if path.suffix not in TEXT_ENDINGS:
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [f"{relative(path)}: {machine}" for machine in MACHINE_PATHS if machine in text]
    assert found == []
