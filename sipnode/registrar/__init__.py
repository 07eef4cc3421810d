"""The registrar, which knows who can be reached where: REGISTER, the location table in memory, and the service around both."""
