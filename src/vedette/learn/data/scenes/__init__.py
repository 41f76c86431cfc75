"""A drawn factory: labelled stills to train on and clips with known crossings to count in, from a seed."""
