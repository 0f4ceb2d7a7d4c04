"""The Raspberry Pis to emulate: what their kernels say about the processor.

Libraries choose their instructions by these files as well as by the processor itself: with a Pi 5's
``/proc/cpuinfo`` and a Pi 4's processor they end in SIGILL, and without the topology onnxruntime
crashes. So each machine has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CORES = 4


@dataclass(frozen=True)
class Cache:
    level: int
    type: str
    """``Data``, ``Instruction`` or ``Unified``."""
    kilobytes: int
    is_shared: bool = False
    """Whether one serves all cores; False: each core has its own."""


@dataclass(frozen=True)
class RaspberryPi:
    model: str
    cpu: str
    """The emulator's name of the processor."""
    features: str
    """``Features`` of /proc/cpuinfo."""
    variant: int
    part: int
    revision: int
    caches: tuple[Cache, ...]

    @property
    def has_dot_product(self) -> bool:
        return "asimddp" in self.features.split()

    @property
    def has_fp16_arithmetic(self) -> bool:
        return "asimdhp" in self.features.split()

    def files(self) -> dict[str, str]:
        """Content of the kernel's files, by path below the root."""
        cpus = "sys/devices/system/cpu"
        everyone = f"0-{_CORES - 1}"
        files = {"proc/cpuinfo": self._cpuinfo(), f"{cpus}/kernel_max": str(_CORES - 1)}
        files |= {f"{cpus}/{name}": everyone for name in ("present", "possible", "online")}
        for core in range(_CORES):
            topology = f"{cpus}/cpu{core}/topology"
            files |= {f"{topology}/core_id": str(core), f"{topology}/physical_package_id": "0"}
            files |= dict.fromkeys((f"{topology}/thread_siblings_list",), str(core))
            files |= dict.fromkeys((f"{topology}/core_siblings_list",), everyone)
            for index, cache in enumerate(self.caches):
                folder = f"{cpus}/cpu{core}/cache/index{index}"
                files |= {
                    f"{folder}/level": str(cache.level),
                    f"{folder}/type": cache.type,
                    f"{folder}/size": f"{cache.kilobytes}K",
                    f"{folder}/coherency_line_size": "64",
                    f"{folder}/shared_cpu_list": everyone if cache.is_shared else str(core),
                }
        return files

    def write(self, root: Path) -> None:
        """Write the kernel's files below a root."""
        for name, content in self.files().items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content}\n", encoding="utf-8")

    def _cpuinfo(self) -> str:
        core = (
            "BogoMIPS\t: 108.00\n"
            f"Features\t: {self.features}\n"
            "CPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\nCPU part\t: {self.part:#x}\n"
            f"CPU revision\t: {self.revision}\n"
        )
        cores = "\n".join(f"processor\t: {number}\n{core}" for number in range(_CORES))
        return f"{cores}\nModel\t\t: {self.model}"


PI_5 = RaspberryPi(
    "Raspberry Pi 5 Model B Rev 1.0",
    "cortex-a76",
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp",
    variant=4,
    part=0xD0B,
    revision=1,
    caches=(
        Cache(1, "Data", 64),
        Cache(1, "Instruction", 64),
        Cache(2, "Unified", 512),
        Cache(3, "Unified", 2048, is_shared=True),
    ),
)
PI_4 = RaspberryPi(
    "Raspberry Pi 4 Model B Rev 1.4",
    "cortex-a72",
    "fp asimd evtstrm crc32 cpuid",
    variant=0,
    part=0xD08,
    revision=3,
    caches=(
        Cache(1, "Data", 32),
        Cache(1, "Instruction", 48),
        Cache(2, "Unified", 1024, is_shared=True),
    ),
)
PIS = (PI_5, PI_4)
