"""Neural networks: perceptrons on kernels of our own, and PyTorch's modules, trained by synchronous mini-batch steps.

Every shard is a virtual rank that contributes its slice of each batch, so that a model does not depend on how many workers
there are. Nothing is imported here: who trains a perceptron needs no torch, and who trains neither no Numba.
"""
