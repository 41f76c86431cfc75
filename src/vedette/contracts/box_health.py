"""How the machine itself fares: heat, power, clocks, and whether something holds it back. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BoxHealth:
    """One look; None and empty where the box has no such sensor. `throttled` holds a few words for each cause, now."""

    throttled: tuple[str, ...] = ()
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_mw: Mapping[str, int] = field(default_factory=dict)
    total_mw: int | None = None
    gpu_percent: float | None = None
    gpu_mhz: float | None = None
    cpu_mhz: float | None = None
    memory_used_mb: int | None = None
    memory_mb: int | None = None
    engines_mhz: Mapping[str, int] = field(default_factory=dict)  # video engines that work now

    @property
    def hottest_c(self) -> float | None:
        """The highest of all temperatures."""
        return max(self.temperatures_c.values(), default=None)

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names, and the hottest."""
        return {
            "throttled": list(self.throttled),
            "hottest_c": self.hottest_c,
            "temperatures_c": dict(self.temperatures_c),
            "total_mw": self.total_mw,
            "rails_mw": dict(self.rails_mw),
            "gpu_percent": self.gpu_percent,
            "gpu_mhz": self.gpu_mhz,
            "cpu_mhz": self.cpu_mhz,
            "memory_used_mb": self.memory_used_mb,
            "memory_mb": self.memory_mb,
            "engines_mhz": dict(self.engines_mhz),
        }
