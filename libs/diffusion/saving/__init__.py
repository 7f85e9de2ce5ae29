"""Models written into files, in the layout that single files have everywhere."""
