"""How run.sh gets passwords to where they are needed, at the start and from where the pipeline file says.

Cameras' go into a copy of app.txt, Kafka's into a copy of the adaptor's file (`proto-cfg`, which NVIDIA's adaptor hands
to librdkafka, is the one way it takes a password); both copies can be read by this user alone and are removed at the
end. MQTT's goes into the adaptor's environment. bash and Python 3.6, as JetPack 4 has them.
"""

import shlex

from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.render_app import needs_password
from vedette.edge.deepstream.render_messages import MOST_SETTINGS_BYTES
from vedette.edge.deepstream.render_settings import Broker, Rendering

_PRIVATE_APP, _PRIVATE_BROKER = "./.app.????????.txt", "./.broker.????????.txt"
_INSERT = r"""
import os, sys, urllib.parse
credentials, number = {}, None
for item in os.environb.get(b"VEDETTE_CREDENTIALS", b"").split(b"\n"):
    if item:
        source, user, secret = item.split(b"\t", 2)
        quoted = [urllib.parse.quote(part, safe="") for part in (user, secret)]
        words = ":".join(quoted if secret else quoted[:1]) + "@"
        credentials[b"[source" + source + b"]"] = words.encode()
broker = os.environb.get(b"VEDETTE_BROKER_FILE")
for line in open(sys.argv[1], "rb"):
    if line.startswith(b"["):
        number = line.strip()
    if line.startswith(b"uri=") and number in credentials:
        scheme, rest = line.split(b"://", 1)
        line = scheme + b"://" + credentials[number] + rest
    if line.startswith(b"msg-broker-config=") and broker:
        line = b"msg-broker-config=" + broker + b"\n"
    sys.stdout.buffer.write(line)
"""
_INSERT_KAFKA = rf"""
import os, sys
secret = os.environb[b"VEDETTE_PASSWORD"]
if b";" in secret or any(byte < 32 for byte in secret):
    sys.exit("run.sh: NVIDIA's Kafka adaptor takes no password with ';' or control characters; choose another")
for line in open(sys.argv[1], "rb"):
    if line.startswith(b"proto-cfg="):
        line = line.rstrip()[:-1] + b";sasl.password=" + secret + b'"'
        if len(line) - len(b"proto-cfg=") > {MOST_SETTINGS_BYTES}:
            sys.exit("run.sh: the password is too long: the adaptor's settings may have {MOST_SETTINGS_BYTES} bytes")
        line = line.replace(b"\\", b"\\\\") + b"\n"
    sys.stdout.buffer.write(line)
"""
SECRET_FUNCTION = (
    "secret() {  # secret file NAME | env NAME: the password; nothing of it is shown",
    '  case "$1" in',
    '    file) local word; word=$(head -n 1 -- "$2" | tr -d "\\r\\n")',
    '      [ -n "$word" ] || fail "the first line of $2 is empty"; printf %s "$word" ;;',
    '    env) [ -n "${!2:-}" ] || fail "the environment variable $2 is empty or not set"; printf %s "${!2}" ;;',
    "  esac",
    "}",
)


def takes_password_by_file(broker: Broker | None) -> bool:
    """Whether the adaptor reads the password from its file: Kafka's does, MQTT's has environment variables."""
    return broker is not None and broker.kind == "kafka" and broker.username is not None


def mqtt_environment(broker: Broker | None) -> list[str]:
    """What the MQTT adaptor reads its user and password from."""
    if broker is None or broker.kind != "mqtt" or broker.username is None:
        return []
    lines = [f"export USER_MQTT={shlex.quote(broker.username)}"]
    if broker.password_file or broker.password_env:
        lines.append(f"PASSWORD_MQTT=$(secret {_source_of(broker.password_file, broker.password_env)})")
        lines.append("export PASSWORD_MQTT")
    return lines


def start_with_private_copies(rendering: Rendering) -> list[str]:
    """The end of run.sh where a password has to be in a file; empty where none has."""
    cameras, broker = _camera_secrets(rendering), rendering.broker
    by_file = takes_password_by_file(broker)
    if not cameras and not by_file:
        return []
    lines = [
        f"insert={shlex.quote(_INSERT)}",
        "# Passwords go into copies that only this user can read; they are removed at the end.",
        f"rm -f {_PRIVATE_APP} {_PRIVATE_BROKER}",
        "private=$(mktemp ./.app.XXXXXXXX.txt)",
        "private_broker=",
        "child=",
        "stop=",
        'trap \'rm -f "$private" ${private_broker:+"$private_broker"}\' EXIT',
        "# An INT reaches deepstream-app too, which ends cleanly; a second one would cut it off. A TERM is handed on.",
        "# Only the first of each: bash forgets how a child ended whose wait is cut short again.",
        "trap 'trap \"\" INT' INT",
        'trap \'trap "" INT TERM; stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || :\' TERM',
    ]
    if broker is not None and by_file:
        lines += [
            f"insert_kafka={shlex.quote(_INSERT_KAFKA)}",
            "private_broker=$(mktemp ./.broker.XXXXXXXX.txt)",
            f"word=$(secret {_source_of(broker.password_file, broker.password_env)})",
            f'VEDETTE_PASSWORD=$word python3 -c "$insert_kafka" {names.BROKER_FILE} > "$private_broker"',
        ]
    lines += [
        "credentials=''",
        *cameras,
        'VEDETTE_CREDENTIALS=$credentials VEDETTE_BROKER_FILE=${private_broker#./} python3 -c "$insert" '
        f'{names.APP_FILE} > "$private"',
        "unset credentials word",
        '"$app" -c "$private" "$@" &',
        "child=$!",
        '[ -z "$stop" ] || kill -TERM "$child" 2>/dev/null || :  # a TERM that came before there was a child',
        "# A signal ends wait early, with another status; that of a child which is gone is remembered.",
        'while kill -0 "$child" 2>/dev/null; do wait "$child" 2>/dev/null || :; done',
        'wait "$child" && code=0 || code=$?',
        'exit "$code"',
    ]
    return lines


def _source_of(password_file: str | None, password_env: str | None) -> str:
    if password_file is not None:
        return f"file {shlex.quote(password_file)}"
    return f"env {shlex.quote(password_env or '')}"


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
