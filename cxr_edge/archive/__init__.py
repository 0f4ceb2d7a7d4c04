"""A folder of any size → rows in append-only files, stopped and gone on with at any time.

==========  ==========================================================
module      what it has
==========  ==========================================================
listing     the image files of an archive, one at a time
rows        what is known of one image; the columns of the results
formats     rows in Parquet and JSON lines
folder      the folder of results: its lock, settings and parts
settled     which images the results have already
worker      one file → one row
pool        worker processes, and what happens when one dies
stage       both runs as one function
local       the run on this machine
on_ray      the run on Ray Data, as its driver sees it
ray_tasks   what of it happens in the cluster
remote      archives that have an address, such as s3://
request     what a run is asked for
==========  ==========================================================
"""
