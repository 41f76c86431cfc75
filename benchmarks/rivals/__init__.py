"""What users would pick instead of Vedette, on the same work, measured in the same run; README.md says how."""
