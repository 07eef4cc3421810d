"""Verdicts of routing stages, and the flags that stages leave each other: :mod:`sipnode.base.verdict`, as scripts know it."""

from sipnode.base.verdict import DROP as DROP
from sipnode.base.verdict import BranchFlag as BranchFlag
from sipnode.base.verdict import Flag as Flag
from sipnode.base.verdict import Step as Step
from sipnode.base.verdict import Verdict as Verdict
