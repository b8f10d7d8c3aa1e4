"""Objects that users touch: each holds a record, computes each product once, and delegates downward."""
