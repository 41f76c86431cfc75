"""Makes a detector: labelled pictures in, a bundle out. The only home of torch."""
