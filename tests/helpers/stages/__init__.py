"""Stages that only tests have: a recipe finds them where this package is listed."""

STAGES = ("tests.helpers.stages",)
