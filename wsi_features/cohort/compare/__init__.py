"""Comparing features: the same tiles from two stores or files, how far their numbers differ, and what that speaks for.

Numbers and hints are functions of arrays. A hint is derived of numbers that it shows; where several causes fit, it says so.
"""
