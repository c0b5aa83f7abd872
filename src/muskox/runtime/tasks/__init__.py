"""Lists of independent tasks: the root hands them out, workers keep what they found, pieces of it are made durable."""
