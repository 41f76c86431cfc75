"""SageMaker's training jobs on this computer: real requests over HTTP, real processes, no Docker, no account."""
