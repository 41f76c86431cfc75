"""DeepStream: its configuration rendered from a pipeline file, checked and read; the box parser."""
