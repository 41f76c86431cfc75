"""Label formats and pictures."""
