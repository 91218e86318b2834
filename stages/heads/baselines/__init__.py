"""The systems that the paper compares with: matchers of their own over the same cached features.

`names.py` lists them, `build.py` makes them; the loop, the ranking and the commands are MELOV's.
"""
