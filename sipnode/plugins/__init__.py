"""One of the two places of plugins: any ``sipnode/plugins/`` folder on the path, without an ``__init__.py`` of its own.

A plugin there is a module-level object that provides Twisted's IPlugin and an interface of :mod:`sipnode.interfaces`. The other place is
the entry points of what is installed; :mod:`sipnode.extensions` finds both. Nothing of ours is here.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
