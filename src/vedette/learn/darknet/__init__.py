"""Darknet: its files (cfg, weights) without torch, and its networks on torch."""
