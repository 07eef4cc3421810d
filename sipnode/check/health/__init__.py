"""What ``sipnode doctor`` looks at, a module for each matter."""
