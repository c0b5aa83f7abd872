"""Naive Bayes: classifiers that take the features of a class as independent, in two rounds each."""
