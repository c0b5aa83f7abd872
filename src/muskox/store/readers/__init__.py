"""Ways to read: pyarrow, DuckDB, Polars, PyTorch."""
