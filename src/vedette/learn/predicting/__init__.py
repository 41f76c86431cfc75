"""A detector over any number of pictures: in this process, in several, or on a Ray cluster, with the same results."""
