"""The export of a trained stage to OpenVINO IR."""
