"""The linear family: a loss of each row's margins, an encoded form of rows, and solvers that are pure state machines."""
