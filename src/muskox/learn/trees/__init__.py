"""Trees: random forests and gradient boosting over histograms of integers, whose sums are exact in any order."""
