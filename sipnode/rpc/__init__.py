"""Seen and steered while it runs: JSON-RPC 2.0 in Kamailio's names, over a UNIX socket and HTTP."""
