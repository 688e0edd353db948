"""Pure rules of the gateway, without I/O: who may do what, what a request must say, what stands in its way.

Split by subject because together they would not fit one page; nothing here imports anything of the gateway outside
this package.
"""
