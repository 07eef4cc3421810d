"""Types that every service hands on and none of them owns: flows, the tables that find them, and a request as it is met below the policy.

Native classes that mypyc can call directly: no zope, no Twisted at run time. The services derive from them or take them as arguments.
"""
