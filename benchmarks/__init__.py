"""What Puntual needs and how fast it is, each figure beside its target. See README.md beside this file."""
