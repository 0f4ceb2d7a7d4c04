"""What the device service costs: its start, its memory, and what it adds to a prediction.

``python benchmarks/service.py IMAGE [ENGINE] [REQUESTS]`` starts ``cxr-edge serve`` with the
bundled reference and prints medians. Requests and predictions of the same bytes in this process
take turns.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import paths

from cxr_edge import Classifier

_STARTS = 5


class Device:
    """A running service with everything in a folder of its own."""

    def __init__(self, folder: Path, engine: str) -> None:
        config = folder / "cxr-edge.toml"
        config.write_text(
            f'engine = "{engine}"\n[http]\nport = 0\n[store]\nfile = "results.db"\n'
            '[inbox]\nfolder = "inbox"\nprocessed = "processed"\nfailed = "failed"\n'
        )
        command = [sys.executable, "-m", "cxr_edge", "serve", "--config", str(config)]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = ""
        while "http://" not in line:
            line = self.process.stderr.readline()
            if not line:
                sys.exit("the service did not start")
        self.ready_s = time.perf_counter() - self.started
        self.address = line.partition("http://")[2].strip().rstrip("/")
        self.connection = http.client.HTTPConnection(self.address, timeout=30)

    def predict(self, name: str, data: bytes) -> dict[str, object]:
        """The answer to one upload."""
        self.connection.request("POST", f"/v1/predictions?name={name}", data)
        response = self.connection.getresponse()
        answer: dict[str, object] = json.loads(response.read())
        if response.status != 201:
            sys.exit(f"status {response.status}: {answer}")
        return answer

    def memory_mb(self) -> float:
        """Memory of the process now, 10**6 bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """Print the medians."""
    image, *rest = paths(__doc__, "IMAGE", "ENGINE", "REQUESTS", optional=2)
    engine = str(rest[0]) if rest else "onnxruntime"
    requests = int(str(rest[1])) if len(rest) > 1 else 300
    data = image.read_bytes()
    ready, first = [], []
    for _ in range(_STARTS):
        with tempfile.TemporaryDirectory() as folder:
            device = Device(Path(folder), engine)
            device.predict("first.jpeg", data)
            ready.append(device.ready_s)
            first.append(time.perf_counter() - device.started)
            device.stop()
    with tempfile.TemporaryDirectory() as folder:
        device = Device(Path(folder), engine)
        classifier = Classifier.load(engine=engine)
        classifier.predict(data)
        before = device.memory_mb()
        posts, bare = [], []
        for number in range(requests):
            start = time.perf_counter()
            answer = device.predict(f"{number}.jpeg", data)
            posts.append(1e3 * (time.perf_counter() - start))
            start = time.perf_counter()
            prediction = classifier.predict(data)
            bare.append(1e3 * (time.perf_counter() - start))
            if answer["score"] != prediction.score:
                sys.exit(f"the service says {answer['score']}, predict {prediction.score}")
        after = device.memory_mb()
        device.stop()
    more = statistics.median(post - alone for post, alone in zip(posts, bare, strict=True))
    print(f"{image.name}, {classifier.artifact} on {engine}, {requests} requests")
    print(f"start to ready          {statistics.median(ready):8.2f} s")
    print(f"start to first answer   {statistics.median(first):8.2f} s")
    print(f"memory when ready       {before:8.1f} MB")
    print(f"memory after them       {after:8.1f} MB")
    print(f"predict                 {statistics.median(bare):8.2f} ms")
    print(f"POST /v1/predictions    {statistics.median(posts):8.2f} ms")
    print(f"more than predict       {more:8.2f} ms")


if __name__ == "__main__":
    main()
