"""Training recipes for driftless: small diffusion models, one configuration file each."""

__version__ = "0.1.0"
