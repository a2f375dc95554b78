"""Networks and their layers; no files, configs or images on disk."""
