"""The summary table of a fit, tables of four regimens, and storage."""
