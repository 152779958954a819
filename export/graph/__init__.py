"""Rewrites of a converted model: the same answers, faster or smaller."""
