"""A pipeline over a directory of text: split, analyse, summarise, collect, render.

Plain functions of the standard library. Nothing here knows of queues, sidecars or envelopes.
"""
