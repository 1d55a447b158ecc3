"""The library behind the stages and the ``fkt`` command; it never imports a stage."""

__version__ = "0.2.0"
