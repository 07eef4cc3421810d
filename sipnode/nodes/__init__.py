"""Several nodes on one location table: how a binding says which node holds its connection, and how that node is reached."""
