"""The event packages that come with sipnode: who makes which document. Pure.

A package is what :class:`~sipnode.interfaces.IEventPackage` says: it reads what is published and makes the state of a resource as a
document. Each module is one package, with the form of its document in a module beside it where that is more than a few lines.
``sipnode/plugins/sipnode_presence.py`` offers them; ``[presence] packages`` names those that are served.
"""
