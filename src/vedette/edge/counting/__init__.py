"""Events -> counts that survive a restart: a small SQLite file, by camera, line or zone, class, direction and time."""
