"""The event packages that come with sipnode, as a plugin offers them. ``[presence] packages`` names those that are served."""

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from sipnode.presence.packages.dialog import DialogPackage
from sipnode.presence.packages.mwi import MessageSummaryPackage
from sipnode.presence.packages.presence import PresencePackage
from sipnode.presence.packages.reg import RegPackage
from sipnode.presence.packages.winfo import WinfoPackage

presence = PresencePackage()
winfo = WinfoPackage()
dialog = DialogPackage()
reg = RegPackage()
message_summary = MessageSummaryPackage()

for package in (presence, winfo, dialog, reg, message_summary):
    alsoProvides(package, IPlugin)
del package
