"""Measures of interaction, the estimands of a study, and what the evidence identifies."""
