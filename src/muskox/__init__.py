"""muskox: distributed machine learning that nothing can stop.

Kill any process at any moment and the job still finishes with the same model, to the bit. Names are imported when they are
first used, so that ``import muskox`` and ``muskox --help`` stay fast.
"""
