"""The rooms of src/ and what each may include: the one table behind check_layers and check_docs.

An entry is a room, or a folder of a room where only that folder is open ("format/ternary"). A room
may include itself, its entries, and what those may include; nothing else.
"""

TABLE = {
    "core": (),
    "net": ("core",),
    "telemetry": ("core", "net"),
    "format": ("core",),
    "arch": ("format",),
    "kernels": ("core", "format/ternary"),
    "comm": ("telemetry",),
    "backend": ("telemetry", "format", "kernels", "comm"),
    "text": ("format",),
    "model": ("arch", "backend"),
    "engine": ("model", "text"),
    "media": ("telemetry", "kernels"),
    "omni": ("engine", "media"),
    "hub": ("telemetry",),
    "convert": ("arch", "text", "hub"),
    "diagnose": ("omni", "arch"),
    "supervise": ("telemetry",),
    "serve": ("omni", "hub", "diagnose"),
}
TABLE["api"] = tuple(TABLE)
TABLE["cli"] = tuple(TABLE)

# Headers outside of src/ that a room may include.
OUTSIDE = {
    "models/embedded_model.h": ("cli",),
    "schemas/embedded_schemas.h": ("serve", "cli"),
}

# A file in a folder of src/kernels (a tier, or the generic bodies that tiers compile) sees these
# system headers, and headers of Tern that keep the same rule. Anything else may hold inline
# functions or templates, of which the linker could keep a copy that old CPUs cannot run. The scalar
# tier is compiled for the baseline CPU, so that its copies run everywhere.
BASELINE_TIER = "scalar"
TIER_HEADERS = frozenset(
    {
        "cstddef",
        "cstdint",
        "arm_neon.h",
        "arm_sve.h",
        "cpuid.h",
        "immintrin.h",
        "x86intrin.h",
    }
)


def reachable(room: str, table: dict[str, tuple[str, ...]] = TABLE) -> frozenset[str]:
    """The path prefixes that files of `room` may include."""
    found = {room}
    queue = list(table[room])
    while queue:
        entry = queue.pop()
        if entry not in found:
            found.add(entry)
            queue.extend(table[entry.split("/")[0]])
    return frozenset(found)
