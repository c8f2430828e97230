// The 512-bit vector vocabulary of generic/bodies.h where permutations of bytes unpack five trits a
// byte. Included inside an anonymous namespace.

#include "kernels/avx512_vnni/simd.h"

inline constexpr bool kFiveTrits = true;
inline constexpr int kBatchGroups = 4;
inline constexpr int kBatchTokens = 6;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 3;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 2;
inline constexpr int kScanQueries = 8;
inline constexpr int kMaxVectors = 4;
inline constexpr int kCeilingChains = 24;
inline constexpr std::size_t kPrefetchBytes = 4096;
// 32-bit lanes need none, the sums of load_plane_of_one included: of up to 655,360 columns.
inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;

// What Packing::kFiveTrits says of a byte, by its upper six bits (the first two codes and 28 times
// their group) or by what is left under them (the other three). A permutation looks at the lower
// six bits of an index alone, so the upper two of what takes the group off are free for a code.
struct Lookup {
  alignas(64) std::uint8_t first[2][64];
  alignas(64) std::uint8_t group_and_first[64];  // of 28 times the group six bits; two: the code
  alignas(64) std::uint8_t rest[3][64];
};

consteval Lookup make_lookup() {
  Lookup table{};
  for (int i = 0; i < 64; ++i) {
    const int group = i / 7;
    table.first[0][i] = static_cast<std::uint8_t>(group / 3);
    table.first[1][i] = static_cast<std::uint8_t>(group % 3);
    table.group_and_first[i] = static_cast<std::uint8_t>(28 * group % 64 + group / 3 * 64);
    table.rest[0][i] = static_cast<std::uint8_t>(i / 9 % 3);
    table.rest[1][i] = static_cast<std::uint8_t>(i / 3 % 3);
    table.rest[2][i] = static_cast<std::uint8_t>(i % 3);
  }
  return table;
}

constexpr Lookup kLookup = make_lookup();

TERN_INLINE Codes look_up(const std::uint8_t* table, __m512i index) {
  return _mm512_permutexvar_epi8(index, _mm512_load_si512(table));
}

TERN_INLINE Codes load_plane(const std::uint8_t* p, int plane, Packing packing) {
  if (packing == Packing::kTwoBits) return load_two_bits(p, plane);
  const __m512i packed = _mm512_loadu_si512(p);
  const __m512i upper = _mm512_srli_epi16(packed, 2);
  if (plane < 2) return look_up(kLookup.first[plane], upper);
  const __m512i rest = _mm512_sub_epi8(packed, look_up(kLookup.group_and_first, upper));
  return look_up(kLookup.rest[plane - 2], rest);
}

// As load_plane, but for the first plane of five trits: 2^kFirstShift times the codes, which need
// no look-up then.
inline constexpr int kFirstShift = 6;
TERN_INLINE Codes load_plane_of_one(const std::uint8_t* p, int plane, Packing packing) {
  if (packing == Packing::kTwoBits || plane > 0) return load_plane(p, plane, packing);
  const __m512i upper = _mm512_srli_epi16(_mm512_loadu_si512(p), 2);
  return _mm512_and_si512(look_up(kLookup.group_and_first, upper),
                          _mm512_set1_epi8(-1 << kFirstShift));
}
TERN_INLINE Wide unscaled(Wide sum) { return _mm512_srai_epi32(sum, kFirstShift); }
