// The 512-bit vector vocabulary of generic/bodies.h where permutations of bytes unpack five trits a
// byte. Included inside an anonymous namespace.

#include "kernels/avx512_vnni/simd.h"

inline constexpr bool kFiveTrits = true;
inline constexpr int kBatchGroups = 4;
inline constexpr int kBatchTokens = 6;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 3;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 2;
inline constexpr int kScanQueries = 8;
inline constexpr int kMaxVectors = 4;
inline constexpr int kCeilingChains = 24;
inline constexpr std::size_t kPrefetchBytes = 4096;
inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;  // 32-bit lanes need none

// What Packing::kFiveTrits says of a byte, by its upper six bits (the first two codes and 28 times
// their group) or by what is left under them (the other three).
struct Lookup {
  alignas(64) std::uint8_t first[2][64];
  alignas(64) std::uint8_t group[64];
  alignas(64) std::uint8_t group_and_first[64];  // of 28 times the group six bits; two: the code
  alignas(64) std::uint8_t rest[3][64];
};

consteval Lookup make_lookup() {
  Lookup table{};
  for (int i = 0; i < 64; ++i) {
    const int group = i / 7;
    table.first[0][i] = static_cast<std::uint8_t>(group / 3);
    table.first[1][i] = static_cast<std::uint8_t>(group % 3);
    table.group[i] = static_cast<std::uint8_t>(28 * group);
    table.group_and_first[i] = static_cast<std::uint8_t>(28 * group % 64 + group / 3 * 64);
    table.rest[0][i] = static_cast<std::uint8_t>(i / 9 % 3);
    table.rest[1][i] = static_cast<std::uint8_t>(i / 3 % 3);
    table.rest[2][i] = static_cast<std::uint8_t>(i % 3);
  }
  return table;
}

constexpr Lookup kLookup = make_lookup();

// A permutation looks at the lower six bits of an index alone.
TERN_INLINE Codes look_up(const std::uint8_t* table, __m512i index) {
  return _mm512_permutexvar_epi8(index, _mm512_load_si512(table));
}

TERN_INLINE Codes load_plane(const std::uint8_t* p, int plane, Packing packing) {
  if (packing == Packing::kTwoBits) return load_two_bits(p, plane);
  const __m512i packed = _mm512_loadu_si512(p);
  const __m512i upper = _mm512_srli_epi16(packed, 2);
  if (plane < 2) return look_up(kLookup.first[plane], upper);
  const __m512i rest = _mm512_sub_epi8(packed, look_up(kLookup.group, upper));
  return look_up(kLookup.rest[plane - 2], rest);
}

inline constexpr int kFirstShift =
    6;  // the first plane of load_plane_of_one is 2^6 times its codes

// A permutation ignores the upper two bits of what is left once the group is taken off, so they are
// free for the first code, which needs no look-up then.
TERN_INLINE Codes load_plane_of_one(const std::uint8_t* p, int plane, Packing packing) {
  if (packing == Packing::kTwoBits) return load_two_bits(p, plane);
  const __m512i packed = _mm512_loadu_si512(p);
  const __m512i upper = _mm512_srli_epi16(packed, 2);
  if (plane == 1) return look_up(kLookup.first[1], upper);
  const __m512i group_and_first = look_up(kLookup.group_and_first, upper);
  if (plane == 0) return _mm512_and_si512(group_and_first, _mm512_set1_epi8(-1 << kFirstShift));
  return look_up(kLookup.rest[plane - 2], _mm512_sub_epi8(packed, group_and_first));
}
TERN_INLINE Wide unscaled(Wide sum) { return _mm512_srai_epi32(sum, kFirstShift); }
