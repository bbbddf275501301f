"""Cores of phones: by what XNNPACK knows them, and how wide they are.

Widths and caches are those of Arm's optimization guides and technical reference
manuals, the caches of usual phones. They make bounds and estimates, not times.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cache:
    """One level: its size in KB and its ways."""

    kb: int
    ways: int


@dataclasses.dataclass(frozen=True)
class Core:
    """A processor core.

    Attributes:
      name: short, as in `CORES`.
      part: the number in /proc/cpuinfo, by which XNNPACK chooses its kernels.
      instructions: issued in a cycle, at most.
      vectors: 128-bit vector operations in a cycle, at most.
      accesses: of up to 16 bytes in a cycle, at most.
      caches: levels 1 to 3; the third is a share of what all cores have.
    """

    name: str
    part: int
    instructions: float
    vectors: float
    accesses: float
    caches: tuple[Cache, Cache, Cache]

    def cpuinfo(self, processors: int) -> str:
        """Returns a /proc/cpuinfo of that many cores of this kind."""
        features = (
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
            "asimdrdm lrcpc dcpop asimddp"
        )
        return "".join(
            f"processor\t: {number}\nBogoMIPS\t: 50.00\nFeatures\t: {features}\n"
            "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\n"
            f"CPU part\t: {self.part:#05x}\nCPU revision\t: 1\n\n"
            for number in range(processors)
        )


CORES = {
    core.name: core
    for core in (
        Core("a55", 0xD05, 2, 1, 1, (Cache(32, 4), Cache(128, 4), Cache(1024, 16))),
        Core("a76", 0xD0B, 4, 2, 2, (Cache(64, 4), Cache(512, 8), Cache(2048, 16))),
        Core("a78", 0xD41, 4, 2, 3, (Cache(64, 4), Cache(512, 8), Cache(4096, 16))),
        Core("x4", 0xD82, 10, 4, 4, (Cache(64, 4), Cache(2048, 8), Cache(8192, 16))),
    )
}
