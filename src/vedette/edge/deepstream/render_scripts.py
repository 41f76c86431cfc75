"""run.sh and build_parser.sh: what is done on the board. bash and Python 3.6, as JetPack 4 has them.

Passwords are read from the files or variables that the pipeline file names, when run.sh starts; they go into the
environment of the adaptor, and into a copy of app.txt that nobody else may read and that is removed at the end.
"""

import shlex
from collections.abc import Sequence

from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import INSTALL_FOLDER, PARSER_LIBRARY
from vedette.edge.deepstream.render_app import needs_password
from vedette.edge.deepstream.render_settings import Rendering

_INSERT = r"""
import os, sys, urllib.parse
credentials, number = {}, None
for item in os.environ["VEDETTE_CREDENTIALS"].split("\n"):
    if item:
        source, user, secret = item.split("\t", 2)
        quoted = [urllib.parse.quote(part, safe="") for part in (user, secret)]
        credentials["[source%s]" % source] = ":".join(quoted if secret else quoted[:1]) + "@"
for line in open(sys.argv[1], encoding="utf-8"):
    if line.startswith("["):
        number = line.strip()
    if line.startswith("uri=") and number in credentials:
        scheme, rest = line.split("://", 1)
        line = scheme + "://" + credentials[number] + rest
    sys.stdout.write(line)
"""


def render_run(rendering: Rendering) -> bytes:
    """`run.sh`: checks what is there, builds what is missing, starts deepstream-app."""
    secrets = _camera_secrets(rendering)
    broker = rendering.broker
    libraries = [broker.library] if broker is not None else []
    lines = [
        "#!/usr/bin/env bash",
        f"# {rendering.target.title}, DeepStream {rendering.dialect.version}; written by vedette, see README.md",
        "set -euo pipefail",
        'cd "$(dirname "$(readlink -f "$0")")"',
        f"ds=${{DEEPSTREAM_DIR:-{INSTALL_FOLDER}}}",
        'fail() { echo "run.sh: $*" >&2; exit 1; }',
        *_checks(rendering.dialect.version, libraries),
        f"[ -f {PARSER_LIBRARY} ] || ./{names.BUILD_FILE}",
        *_SECRET_FUNCTION,
    ]
    if broker is not None and broker.username is not None:
        lines += _broker_secrets(rendering)
    if not secrets:
        lines.append(f'exec "$app" -c {names.APP_FILE} "$@"')
        return ("\n".join(lines) + "\n").encode()
    lines += [
        "# Names and passwords of cameras go into a copy that only this user can read; it is removed at the end.",
        "rm -f ./.app.????????.txt",
        "private=$(mktemp ./.app.XXXXXXXX.txt)",
        "child=",
        "trap 'rm -f \"$private\"' EXIT",
        "trap : INT  # it reaches deepstream-app too, which ends cleanly; a second signal would cut it off",
        'trap \'[ -z "$child" ] || kill -TERM "$child"\' TERM',
        "credentials=''",
        *secrets,
        f'VEDETTE_CREDENTIALS=$credentials python3 -c "$insert" {names.APP_FILE} > "$private"',
        "unset credentials",
        '"$app" -c "$private" "$@" &',
        "child=$!",
        "code=0",
        'while :; do wait "$child" && code=0 || code=$?; kill -0 "$child" 2>/dev/null || break; done',
        'exit "$code"',
    ]
    where = lines.index("rm -f ./.app.????????.txt")
    lines[where:where] = [f"insert={shlex.quote(_INSERT)}"]
    return ("\n".join(lines) + "\n").encode()


def render_build(rendering: Rendering) -> bytes:
    """`build_parser.sh`: the box parser against this board's own header, whose structures differ between versions."""
    return f"""#!/usr/bin/env bash
# Builds {PARSER_LIBRARY} from parser/ against the headers of the DeepStream that is installed; about ten seconds.
# NVIDIA's structures differ between versions (9 adds an angle to a box): never copy the library to another version.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
ds=${{DEEPSTREAM_DIR:-{INSTALL_FOLDER}}}
cuda=${{CUDA_DIR:-/usr/local/cuda}}
header="$ds/sources/includes/nvdsinfer_custom_impl.h"
[ -f "$header" ] || {{ echo "build_parser.sh: $header is missing; install the DeepStream SDK" >&2; exit 1; }}
ls parser/*.cpp > /dev/null 2>&1 || {{ echo "build_parser.sh: parser/ holds no source" >&2; exit 1; }}
command -v "${{CXX:-g++}}" > /dev/null || {{ echo "build_parser.sh: sudo apt install g++" >&2; exit 1; }}
"${{CXX:-g++}}" -std=c++14 -O3 -fPIC -shared -Wall -Wextra -isystem "$ds/sources/includes" -isystem "$cuda/include" \\
  parser/*.cpp -o {PARSER_LIBRARY}.part -ldl
mv {PARSER_LIBRARY}.part {PARSER_LIBRARY}
""".encode()


_SECRET_FUNCTION = (
    "secret() {  # secret file NAME | env NAME: the password; nothing of it is shown",
    '  case "$1" in',
    '    file) local word; word=$(head -n 1 -- "$2" | tr -d "\\r\\n")',
    '      [ -n "$word" ] || fail "the first line of $2 is empty"; printf %s "$word" ;;',
    '    env) [ -n "${!2:-}" ] || fail "the environment variable $2 is empty or not set"; printf %s "${!2}" ;;',
    "  esac",
    "}",
)


def _checks(version: str, libraries: Sequence[str]) -> list[str]:
    lines = [
        "app=${DEEPSTREAM_APP:-$(command -v deepstream-app || true)}",
        '[ -n "$app" ] || fail "deepstream-app is not installed"',
        'found=$("$app" --version 2>/dev/null | grep -o "[0-9][0-9.]*" | head -n 1 || true)',
        'case "$found" in',
        f"  {version}|{version}.*) ;;",
        f'  *) echo "run.sh: rendered for DeepStream {version}, here is ${{found:-an unknown version}}" >&2 ;;',
        "esac",
    ]
    for library in libraries:
        lines.append(f'[ -f "$ds/lib/{library}" ] || fail "$ds/lib/{library} is missing"')
    return lines


def _source_of(password_file: str | None, password_env: str | None) -> str:
    if password_file is not None:
        return f"file {shlex.quote(password_file)}"
    return f"env {shlex.quote(password_env or '')}"


def _broker_secrets(rendering: Rendering) -> list[str]:
    broker = rendering.broker
    assert broker is not None
    lines = [f"export USER_MQTT={shlex.quote(broker.username or '')}"]
    if broker.password_file or broker.password_env:
        lines.append(f"PASSWORD_MQTT=$(secret {_source_of(broker.password_file, broker.password_env)})")
        lines.append("export PASSWORD_MQTT")
    return lines


def _camera_secrets(rendering: Rendering) -> list[str]:
    lines = []
    for number, camera in enumerate(rendering.pipeline.cameras):
        if needs_password(camera):
            has_secret = camera.password_file or camera.password_env
            read = f"$(secret {_source_of(camera.password_file, camera.password_env)})" if has_secret else ""
            user = shlex.quote(camera.username or "")
            lines.append(f"word={read}" if has_secret else "word=")
            lines.append(f"credentials+={number}$'\\t'{user}$'\\t'\"$word\"$'\\n'")
    return lines
