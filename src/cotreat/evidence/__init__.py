"""Kinds of evidence: each module turns one kind into a likelihood given the arms' log-odds."""
