"""Strategies of a search: `strategy: dp` is dp.py, class Dp."""
