"""Descriptions that others write beside or into their ONNX files -> our card."""
