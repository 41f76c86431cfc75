"""Runs set against each other: what differs in settings, curves, figures, single pictures."""
