"""What a person sees on the box: the live page, snapshots, recordings."""
