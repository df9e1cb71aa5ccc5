"""Imports: features that other programs computed become stores, with what their files say and nothing else.

What a file does not say stays unknown in the store; where positions cannot be told without it, the slide is refused.
"""
