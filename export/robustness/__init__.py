"""The stage `use: robustness`: what compression broke that accuracy does not show."""
