// Kernel bodies over a tier's vector vocabulary, written once. A tier defines TERN_INLINE, includes
// its vocabulary, then this file, inside namespace tern::kernels and an anonymous namespace:
// everything here has internal linkage. No standard headers: a shared inline function must not be
// compiled with a tier's flags.
//
// Floats: Vec of kLanes floats with load, store, splat, add, sub, mul, div, fmadd, relu (a > 0 ?
// a : +0), load_f16, load_bf16, load_i8, store_halves (nearest even), rint, pow2_mul (a * 2^n in
// two steps), where_less(a, b, x, y) (a < b ? x : y), larger(a, b) (a < b ? b : a), lanes_from
// and first_lane; minus turns a sign; for one value f16_value, bf16_value, fma1, sqrt1. kDotRows
// rows of dot products and kChains chains fit into the registers, and kManyChains where a step has
// few inputs; attention_body.h says what they are for, and what kTogether and kValueQueries are.
// Doubles: eight f64 with zero_doubles, load_doubles (of floats), store_doubles, add_squares(sums,
// v) (sums + v * v) and less_scaled(a, b, scale) (a - scale * b), each operation rounded by itself.
// Integers: Ints of kLanes int32 with zero_ints, add_ints, max_unsigned, store_ints, nearest_ints
// (half to even), magnitude_bits (of floats, without sign), store_codes (as int8), splat_ints,
// to_floats, bits and from_bits (of floats as they are); pin() keeps one in its register, where
// compilers would copy sums from one to another.
// Dot products: load_plane(p, plane, packing) gives Codes, four columns of kVectorRows rows, in a
// packing that the tier has (kFiveTrits: whether it has that one; without it, absent_five_trits.h);
// load_plane_of_one the same, but scales the first plane of five trits, and unscaled() makes of a
// Wide of such products one of the codes'; broadcast_quad the four
// activations of a token; multiply_add accumulates their dot products into a Narrow, of which
// widen_add makes a Wide (int32) at least every kTilesPerDrain tiles; scaled_difference is
// f32(acc - sum) * factor. Of int8 pages: load_keys gives Codes, of which dot_keys adds to Ints
// the dot products with a query, too large by kKeyBias times the sum of its codes. load_values
// gives Codes, too, value_codes makes of them what add_values multiplies by a WeightQuad, four
// weights of 14 bits, into ValueSums: kValueSums registers, of which value_total makes Ints.
// store_weights(to, key, v) keeps 64 weights, load_weights(to, key) gives four. Tiers that
// multiply bytes have these from value_digits.h, and for it dot_values (Codes by digits),
// store_digits(high, low, v) (of 64 numbers in base 128, as int8) and join_digits (high * 128 +
// low). kBatchGroups groups of rows times kBatchTokens tokens fit into the registers, and for one
// token kDecodeGroups groups times kDecodeChains; weights are asked for kPrefetchBytes ahead, into
// the second cache where kSecondCache; the activations of kChunkTokens tokens stay in the second
// cache, with their sums in the nearest; kMaxVectors is as many vectors as either has, and as
// kMostStreams groups have.
// forget() hides from the compiler what it knows of a Codes; consume() makes it believe that a
// Narrow is used.
// Scans: load_bytes gives Bytes, four columns of kVectorRows rows of unsigned codes, made signed by
// taking 128 off unless kByteOffset says that it is still in them; digit_quad the four digits;
// multiply_bytes accumulates their dot products into ByteSums, of which byte_total makes a Wide.
// kScanGroups groups of rows fit into the registers, or nearly, with two sums each, or
// kScanBlockGroups groups times kScanQueries queries with one.

#include "kernels/generic/attention_body.h"
#include "kernels/generic/attention_int8_body.h"
#include "kernels/generic/block_rows_body.h"
#include "kernels/generic/copy_body.h"
#include "kernels/generic/float_body.h"
#include "kernels/generic/quantize_body.h"
#include "kernels/generic/scan_body.h"
#include "kernels/generic/ternary_body.h"

// A tier's table: everything above under one name.
consteval KernelTable tier_table(const char* name, std::uint32_t features,
                                 decltype(KernelTable::ternary_linear) linear,
                                 decltype(KernelTable::multiply_accumulate_loop) ceiling_loop) {
  return {
      .name = name,
      .required_features = features,
      .five_trits = kFiveTrits,
      .packing = kFiveTrits ? Packing::kFiveTrits : Packing::kTwoBits,
      .read = {kDecodeGroups, kPrefetchBytes, kSecondCache},
      .ternary_linear = linear,
      .multiply_accumulate_loop = ceiling_loop,
      .fma_loop = fma_loop,
      .quantize = quantize,
      .rms_norm = rms_norm,
      .rope = rope,
      .add = add_to,
      .relu2_gate = relu2_gate,
      .silu_gate = silu_gate,
      .gelu_gate = gelu_gate,
      .store_f16 = store_f16,
      .attention_chunk = attention_chunk,
      .attention_chunk_int8 = attention_chunk_int8,
      .attention_fold = attention_fold,
      .attention_output = attention_output,
      .dot_rows_f32 = dot_rows_f32,
      .dot_rows_f16 = dot_rows_f16,
      .dot_rows_bf16 = dot_rows_bf16,
      .dot_rows_q8_0 = dot_rows_q8_0,
      .dot_rows_q6_k = dot_rows_q6_k,
      .widen_f16 = widen_f16,
      .row_squares = row_squares,
      .round_row = round_row,
      .scan_rows = scan_rows,
      .scan_high = scan_high,
      .high_bounds = high_bounds,
      .scan_low = scan_low,
  };
}
