// The vocabulary of generic/lut_body.h. Included inside an anonymous namespace.

using Lut = __m256i;

inline constexpr std::size_t kLutTokens = 16;

TERN_INLINE Lut lut_zero() { return _mm256_setzero_si256(); }
TERN_INLINE Lut lut_add(Lut a, Lut b) { return _mm256_add_epi16(a, b); }
TERN_INLINE Lut lut_sub(Lut a, Lut b) { return _mm256_sub_epi16(a, b); }
TERN_INLINE Lut lut_magnitude(Lut a) { return _mm256_abs_epi16(a); }
TERN_INLINE bool lut_negative(Lut a) {
  return (static_cast<unsigned>(_mm256_movemask_epi8(a)) & 0xaaaaaaaau) != 0;
}
TERN_INLINE void lut_widen(Lut a, Ints* ints) {
  ints[0] = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(a));
  ints[1] = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(a, 1));
}

// Four steps, each of which brings together what was half as far apart.
TERN_INLINE void load_columns(const std::int8_t* const* tokens, std::size_t at, Lut* columns) {
  __m128i rows[16];
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) {
    rows[t] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tokens[t] + at));
  }
#pragma GCC unroll 4
  for (int step = 0; step < 4; ++step) {
    __m128i next[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + 8]);
      next[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) columns[c] = _mm256_cvtepi8_epi16(rows[c]);
}

// Two look-ups of two codes each.
template <std::size_t kScale>
TERN_INLINE void load_places(const std::uint8_t* tile, std::uint16_t* places) {
  constexpr int kShift = __builtin_ctzll(kScale);
  static_assert(std::size_t{1} << kShift == kScale && kScale * 81 <= 65536);
  const __m128i of_code = _mm_setr_epi8(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0);
  const __m256i low_places = _mm256_broadcastsi128_si256(of_code);
  const __m256i high_places = _mm256_add_epi8(_mm256_slli_epi16(low_places, 3), low_places);
  const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 2
  for (std::size_t at = 0; at < kTileBytes; at += 32) {
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + at));
    const __m256i low = _mm256_shuffle_epi8(low_places, _mm256_and_si256(packed, mask));
    const __m256i high =
        _mm256_shuffle_epi8(high_places, _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask));
    const __m256i place = _mm256_add_epi8(low, high);
    const __m256i first = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(place));
    const __m256i last = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(place, 1));
    auto* to = reinterpret_cast<__m256i*>(places + at);
    _mm256_store_si256(to, _mm256_slli_epi16(first, kShift));
    _mm256_store_si256(to + 1, _mm256_slli_epi16(last, kShift));
  }
}

TERN_INLINE void transpose(Vec (&v)[8]) {
  Vec pairs[8], quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    v[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
  }
}
