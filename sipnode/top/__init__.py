"""The recorder's calls in a terminal, with sngrep's keys."""
