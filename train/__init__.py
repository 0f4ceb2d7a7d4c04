"""Training and evaluation: from an image folder to a run folder.

Modules here need the extra ``train`` (or ``evaluate``) and import only the shared core.
"""
