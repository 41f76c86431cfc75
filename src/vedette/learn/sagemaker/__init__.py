"""Training on Amazon SageMaker: what runs there, what it prints, what it leaves."""
