"""Sections of the report on the supplementary analyses."""
