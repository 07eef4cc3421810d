"""The methods, one module for each family (what stands before the dot of their names)."""
