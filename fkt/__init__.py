"""The library behind the stages: everything a stage calls; it never imports a stage."""
