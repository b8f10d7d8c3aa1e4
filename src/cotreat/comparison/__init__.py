"""Comparison of models: leave-one-out prediction and Bayes factors."""
