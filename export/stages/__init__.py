"""Stages of the export: `use: ov_ir` will be ov_ir.py, class OvIr."""
