"""Object stores, and Parquet registered where it lies."""
