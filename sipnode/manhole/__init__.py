"""A Python prompt inside the running server, over SSH, for who holds a listed key."""
