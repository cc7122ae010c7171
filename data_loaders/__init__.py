"""Motion capture data: from files to clips on this body, and from clips to training examples.

A file becomes a `Motion` by `load_motion.read_motion`; BVH and AMC files by `skeleton_files`. A folder becomes a data
set: `skeleton_folders` for BVH and AMC files, `humanml3d`, `kit`, `amass`, `bandai`, `cmu`, `hdm05` and `snu`. A data
set is read into a `store`, optionally through `cleaning`. `datasets.load_examples` makes training examples of it with
`caption_dataset`, `augmented_dataset` or `mixed_dataset`; `procedural` generates walks without any data.
"""
