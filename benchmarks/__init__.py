"""One script for each number in the documentation; `python -m benchmarks [NAME ...]` runs them and writes JSON."""
