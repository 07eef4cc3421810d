"""A recorded call once more: as steps of phones in memory, as a test, and through another routing script."""
