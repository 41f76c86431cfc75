"""Pre-labels: what a detector finds in pictures, written as VOC for a person to correct."""
