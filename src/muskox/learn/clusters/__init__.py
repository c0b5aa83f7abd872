"""Clusters: k-means: its program, the kernels below it, its model, and the estimator with scikit-learn's API."""
