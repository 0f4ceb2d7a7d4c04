"""Gives a bundle another out-of-domain check: ``python benchmarks/replace_domain.py RUN BUNDLE``.

RUN's domain.npz takes the place of BUNDLE's. Everything else stays, and so does every proof: the
check reads the image, not the network.
"""

from __future__ import annotations

import dataclasses

from arguments import paths

from cxr_edge.bundle.reader import Bundle
from cxr_edge.domain import parse_domain
from cxr_edge.errors import ModelError
from cxr_edge.export.commit import commit, record_file
from cxr_edge.original.run_folder import open_run


def main() -> None:
    """Read both, check that they are of the same input, write."""
    run_folder, folder = paths(__doc__, "RUN", "BUNDLE")
    run, bundle = open_run(run_folder), Bundle.open(folder)
    if run.domain is None or run.spec.input != bundle.manifest.spec.input:
        raise SystemExit("the run has no out-of-domain check, or one of another input")
    data = run.domain.read_bytes()
    parse_domain(data, str(run.domain), ModelError)
    manifest = dataclasses.replace(
        bundle.manifest, domain=record_file("domain", "npz", data), sha256=""
    )
    contents = {
        record.file: data if record == manifest.domain else bundle.read(record)
        for record in manifest.files
    }
    commit(folder, manifest, contents)


if __name__ == "__main__":
    main()
