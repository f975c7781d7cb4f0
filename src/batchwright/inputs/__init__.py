"""Single values, columns and label sets out of the user's objects, without importing their libraries."""
