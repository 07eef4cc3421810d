"""``make run``: a server, its media relay and two users on this machine, to be tried and thrown away.

Everything lives in one folder (:mod:`sipnode.demo.folder`) and ends with the command (:mod:`sipnode.demo.run`). Plain blocking code in a
process of its own; the server is the same ``twistd sipnode`` that anybody else starts.
"""
