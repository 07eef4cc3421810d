"""How the composition root puts rooms together: one module for each concern, called by :mod:`sipnode.app` and nobody else."""
