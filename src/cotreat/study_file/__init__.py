"""Reading of study files: their shape, contrasts, counts, patients and reported estimates."""
