"""The event packages that come with sipnode, as a plugin offers them. ``[presence] packages`` names those that are served."""

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from sipnode.presence.packages.presence import PresencePackage

presence = PresencePackage()

alsoProvides(presence, IPlugin)
