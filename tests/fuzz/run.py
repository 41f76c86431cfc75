"""`make fuzz`: coverage-guided fuzzing of one reader with atheris (extra `fuzz`); exits with 0 when nothing was found.

    python tests/fuzz/run.py cfg --seconds 120

What breaks a reader is left in the working folder as `crash-*`, `timeout-*` or `oom-*`; give such a file as second
argument to see the error again. What leads to new code is kept there too, in a folder for each reader, and is where
the next run begins.
"""

import argparse
import sys
from pathlib import Path

try:
    import atheris
except ModuleNotFoundError:
    sys.exit("atheris is missing: pip install 'vedette[fuzz]' (Linux, Python 3.11 and later)")

with atheris.instrument_imports(include=["vedette.learn.darknet", "vedette.learn.data"]):
    from reader_targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz one reader.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("again", nargs="?", type=Path, help="a file to read once, in place of fuzzing")
    parser.add_argument("--seconds", type=int, default=120)
    chosen = parser.parse_args()
    target, folder = TARGETS[chosen.target], Path.cwd() / chosen.target
    place, corpus, words = folder / "set", folder / "corpus", folder / "words.dict"
    for needed in (place, corpus):
        needed.mkdir(parents=True, exist_ok=True)
    if chosen.again is not None:
        target.check(chosen.again.read_bytes(), place)
        return
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words.write_text("".join(f'"{escaped(word)}"\n' for word in target.words))
    limits = ["-timeout=5", "-max_len=4096", "-rss_limit_mb=2048", "-print_final_stats=1"]
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-dict={words}", f"-max_total_time={chosen.seconds}", *limits],
        lambda content: target.check(content, place) and None,
    )
    atheris.Fuzz()  # ends the process


def escaped(word: str) -> str:
    """As libFuzzer's dictionaries write bytes."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode("latin-1"))


if __name__ == "__main__":
    main()
