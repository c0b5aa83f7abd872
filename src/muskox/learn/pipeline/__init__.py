"""Pipelines: steps trained one after the other in one job, each on what the one before it makes of the rows."""
