"""Constants, columns of tables, errors and formats."""
