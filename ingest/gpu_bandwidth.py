"""How fast GPUs read their memory at best, as their maker publishes it.

Knows the names by which drivers and people call them. Refuses a name that stands for several: an
H100 is 2.0, 3.35 or 3.9 TB/s fast. Pure: a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PAGES = "https://www.nvidia.com/en-us/data-center"


@dataclass(frozen=True, slots=True)
class Published:
    """One kind of GPU. `names` as NVML and people write them, see `plain`."""

    label: str
    bytes_per_s: float
    source: str
    names: tuple[str, ...]


PUBLISHED = (
    Published("B200", 8.0e12, f"{PAGES}/dgx-b200/", ("b200",)),
    Published("H200", 4.8e12, f"{PAGES}/h200/", ("h200", "h200 nvl", "h200 sxm")),
    Published(
        "H100 SXM", 3.35e12, f"{PAGES}/h100/", ("h100 80gb hbm3", "h100 sxm", "h100 sxm5 80gb")
    ),
    Published("H100 NVL", 3.9e12, f"{PAGES}/h100/", ("h100 nvl",)),
    Published("H100 PCIe", 2.0e12, f"{PAGES}/h100/", ("h100 pcie",)),
    Published(
        "A100 80 GB SXM",
        2.039e12,
        f"{PAGES}/a100/",
        ("a100 sxm4 80gb", "a100 80gb sxm", "a100 sxm 80gb"),
    ),
    Published("A100 80 GB PCIe", 1.935e12, f"{PAGES}/a100/", ("a100 80gb pcie", "a100 pcie 80gb")),
    Published(
        "A100 40 GB",
        1.555e12,
        f"{PAGES}/a100/",
        ("a100 sxm4 40gb", "a100 pcie 40gb", "a100 40gb", "a100 40gb pcie"),
    ),
    Published("A30", 933e9, f"{PAGES}/products/a30-gpu/", ("a30",)),
    Published("A10", 600e9, f"{PAGES}/products/a10-gpu/", ("a10", "a10g")),
    Published("L40S", 864e9, f"{PAGES}/l40s/", ("l40s",)),
    Published("L4", 300e9, f"{PAGES}/l4/", ("l4",)),
    Published("T4", 320e9, f"{PAGES}/tesla-t4/", ("t4",)),
    Published(
        "V100", 900e9, f"{PAGES}/v100/", ("v100 sxm2 16gb", "v100 sxm2 32gb", "v100 pcie 16gb",
        "v100 pcie 32gb", "v100"),
    ),
)  # fmt: skip

_BY_NAME = {name: one for one in PUBLISHED for name in one.names}


def plain(name: str) -> str:
    """`NVIDIA A100-SXM4-80GB` and `a100 sxm4 80GB` are one."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower()).split()
    return " ".join(word for word in words if word not in ("nvidia", "tesla", "gpu"))


def of(name: str) -> Published | None:
    return _BY_NAME.get(plain(name))
