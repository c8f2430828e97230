// Weights of int8 values as two digits, for tiers that multiply bytes: the words of
// attention_int8_body.h for products of values and weights. A query's high digits stand first, its
// low ones kChunkKeys behind them. Included inside an anonymous namespace, behind a vocabulary.
#pragma once

inline constexpr int kValueSums = 2;
using ValueCodes = Codes;
struct ValueSums {
  Ints high;
  Ints low;
};
struct WeightQuad {
  Quad high;
  Quad low;
};

TERN_INLINE void store_weights(std::int8_t* weights, std::size_t key, const Ints* v) {
  store_digits(weights + key, weights + kChunkKeys + key, v);
}
TERN_INLINE WeightQuad load_weights(const std::int8_t* weights, std::size_t key) {
  return {broadcast_quad(weights + key), broadcast_quad(weights + kChunkKeys + key)};
}
TERN_INLINE ValueCodes value_codes(Codes codes) { return codes; }
TERN_INLINE ValueSums value_sums_zero() { return {zero_ints(), zero_ints()}; }
TERN_INLINE void add_values(ValueSums& sums, WeightQuad weights, ValueCodes codes) {
  sums.high = dot_values(sums.high, codes, weights.high);
  sums.low = dot_values(sums.low, codes, weights.low);
  pin(sums.high);
  pin(sums.low);
}
TERN_INLINE Ints value_total(ValueSums sums) { return join_digits(sums.high, sums.low); }
