"""Attacks that take minutes. They run by hand, from the repository: python -m tests.attack.NAME"""
