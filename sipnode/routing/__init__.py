"""The routing policy and the engine that runs it. :mod:`sipnode.routing.script` is the page to read first."""
