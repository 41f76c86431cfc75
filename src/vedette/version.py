"""The version of Vedette, in one place: the build, `vedette --version` and every bundle's provenance read it here."""

__version__ = "0.1.0"
