"""Programs: read argv, environment and files; build objects; start processes. Nothing imports this package."""
