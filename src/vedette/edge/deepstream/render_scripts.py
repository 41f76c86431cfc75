"""run.sh, build_parser.sh, build_engine.sh: what is done on the board. bash and Python 3.6, as JetPack 4 has them."""

from collections.abc import Sequence

from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import INSTALL_FOLDER, PARSER_LIBRARY
from vedette.edge.deepstream.render_nvinfer import builds_engine, engine_file
from vedette.edge.deepstream.render_secrets import SECRET_FUNCTION, mqtt_environment, start_with_private_copies
from vedette.edge.deepstream.render_settings import Rendering


def render_run(rendering: Rendering) -> bytes:
    """`run.sh`: checks what is there, builds what is missing, starts deepstream-app."""
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
    ]
    if builds_engine(rendering):
        lines.append(f"[ -f {engine_file(rendering)} ] || ./{names.ENGINE_BUILD_FILE}")
    if rendering.pipeline.record is not None:
        record, ending = names.RECORD_FILE.rsplit(".", 1)
        kept = f"{record}-$(date -r {names.RECORD_FILE} +%Y%m%dT%H%M%S).{ending}"
        lines.append(f'[ ! -e {names.RECORD_FILE} ] || mv -n {names.RECORD_FILE} "{kept}"  # it would be overwritten')
    lines += [*SECRET_FUNCTION, *mqtt_environment(broker)]
    lines += start_with_private_copies(rendering) or [f'exec "$app" -c {names.APP_FILE} "$@"']
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


def render_engine_build(rendering: Rendering) -> bytes:
    """`build_engine.sh`: the engine of a model in 8 bits, by TensorRT's own program.

    nvinfer builds in 8 bits only with a calibration table and in FP16 without one, saying so in its log; the model
    carries its ranges itself (Q/DQ). So the engine is built here, and nvinfer is given no model to build another of.
    """
    spec, most = rendering.manifest.input, rendering.network_batch
    engine, megabytes = engine_file(rendering), rendering.sizing.workspace_mb
    shapes = ""
    if spec.batch is None:
        parts = zip(("min", "opt", "max"), (1, most, most), strict=True)
        sizes = f"{spec.channels}x{spec.height}x{spec.width}"
        shapes = " ".join(f"--{kind}Shapes={spec.tensor}:{batch}x{sizes}" for kind, batch in parts) + " "
    return rf"""#!/usr/bin/env bash
# Builds {engine} from {names.MODEL_FILE}, whose ranges are in it (Q/DQ); minutes.
# An engine is good for this board, this JetPack and this DeepStream only: remove it after an update.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
fail() {{ echo "build_engine.sh: $*" >&2; exit 1; }}
trtexec=${{TRTEXEC:-$(command -v trtexec || true)}}
[ -n "$trtexec" ] || trtexec=/usr/src/tensorrt/bin/trtexec
[ -x "$trtexec" ] || fail "trtexec is missing; it comes with TensorRT: sudo apt install tensorrt"
help=$("$trtexec" --help 2>&1 || true)
[[ $help =~ \[TensorRT\ v([0-9]+)\] ]] || fail "$trtexec does not answer --help as trtexec does"
version=${{BASH_REMATCH[1]}}  # 8201 is 8.2.1, 100300 is 10.3.0
has() {{ grep -q -e "$1" <<< "$help"; }}
flags=({shapes.strip()})
# Until 8 the flag allows 8 bits where the model says so; since 10 the model's own types count.
if [ "$version" -lt 100000 ]; then flags+=(--int8); elif has --stronglyTyped; then flags+=(--stronglyTyped); fi
if has --memPoolSize; then flags+=(--memPoolSize=workspace:{megabytes}); else flags+=(--workspace={megabytes}); fi
if has --skipInference; then flags+=(--skipInference); else flags+=(--buildOnly); fi
flags+=(--timingCacheFile=timing.cache)  # the next build is faster
rm -f {engine}.part
echo "build_engine.sh: building {engine}; what trtexec says is in build_engine.log" >&2
"$trtexec" --onnx={names.MODEL_FILE} --saveEngine={engine}.part "${{flags[@]}}" > build_engine.log 2>&1 ||
  {{ {{ grep -F "[E]" build_engine.log || cat build_engine.log; }} | tail -n 3 >&2
     fail "trtexec failed, see build_engine.log"; }}
[ -s {engine}.part ] || fail "trtexec wrote no engine, see build_engine.log"
mv {engine}.part {engine}
""".encode()


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
