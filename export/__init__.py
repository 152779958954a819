"""From a trained stage to OpenVINO IR."""
