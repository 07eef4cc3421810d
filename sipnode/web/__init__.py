"""Pages on the WebSocket ports: the softphone, and the list of who is there."""
