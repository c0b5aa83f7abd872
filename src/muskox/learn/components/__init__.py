"""Principal components: the program that finds them, our own eigen-solver, the model, and the estimator."""
