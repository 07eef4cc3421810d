"""Where plugins of sipnode are looked for: any ``sipnode/plugins/`` folder on the path, without an ``__init__.py`` of its own.

A plugin is a module-level object that provides an interface of :mod:`sipnode.interfaces`. Being found changes nothing: a stage runs only
when ``[routing] stages`` names it.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
