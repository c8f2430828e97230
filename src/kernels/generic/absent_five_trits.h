// The part of the vocabulary that five trits need (bodies.h), for a tier that does not have them.
#pragma once

inline constexpr bool kFiveTrits = false;

TERN_INLINE Codes load_plane_of_one(const std::uint8_t* p, int plane, Packing packing) {
  return load_plane(p, plane, packing);
}
TERN_INLINE Wide unscaled(Wide sum) { return sum; }
