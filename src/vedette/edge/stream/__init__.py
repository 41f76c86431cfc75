"""From camera to results: source, gate, mailbox, batcher, pipeline."""
