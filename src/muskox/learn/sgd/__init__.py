"""Stochastic gradient descent: linear models learned a few rows at a time, by mini-batches or by averaging local models."""
