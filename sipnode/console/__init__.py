"""The web console: calls as they happen, what was changed in their messages, why they failed; for users with a role."""
