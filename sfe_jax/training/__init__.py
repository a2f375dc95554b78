"""Training: the loop, the steps, the stages, and the folder of a run."""
