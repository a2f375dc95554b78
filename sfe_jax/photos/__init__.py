"""From picture files to edited picture files.

Here are the steps around the networks: collecting files, reading them in
batches, writing results.  The networks are behind `editor.Editor`, the formats
of files in `storage.images`, and edits by name in `directions`.
"""
