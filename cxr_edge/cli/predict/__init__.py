"""``cxr-edge predict``: some images at once, or an archive with ``--to``."""
