"""The `train` program of a training image: SageMaker's contract outside, `vedette train` and `vedette pack` inside."""
