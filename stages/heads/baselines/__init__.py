"""The systems that the paper compares with: matchers of their own over the same cached features.

`heads/variants.py` lists them; the loop, the ranking and the commands are MELOV's.
"""
