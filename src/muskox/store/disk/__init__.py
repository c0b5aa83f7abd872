"""A node's files: blobs, shards as files, caches, mappings, the scrub."""
