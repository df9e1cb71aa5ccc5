"""Formats that OpenSlide refuses: each module opens one of them and reads its levels in their own pixels."""
