"""`python -m vedette` is `vedette`."""

from vedette.apps.cli import main

main()
