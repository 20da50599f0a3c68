"""Label versions as files of other tools: tables, COCO, OME-Zarr labels."""
