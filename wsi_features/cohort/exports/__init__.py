"""Exports: the features of a cohort in the layouts that other programs read; one module a format or small family.

Every layout is a fact about the program named in its module, looked up in that program's source. Rows of tiles that
could not be read have no features, and are left out of every export together with their coordinates.
"""
