"""`vedette` and `python -m vedette`: Ctrl-C is answered from the first moment, while the command line still loads."""

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from vedette.apps.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("vedette: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
