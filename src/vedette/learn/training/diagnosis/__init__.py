"""What lies behind a detector's figures: sizes, scores, kinds of error, and the pictures that went worst."""
