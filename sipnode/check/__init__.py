"""``sipnode check``: everything that a start would find, and what it would find soon, without starting or making anything."""
