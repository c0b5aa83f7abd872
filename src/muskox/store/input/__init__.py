"""What can be put: files, frames, streams, as batches of one schema."""
