// The number formats in which a file stores weights as numbers: f32, f16, bf16, and ggml's q4_0,
// q8_0 and q6_k blocks; and the blocks of tq1_0 and tq2_0, whose trits and scale are numbers, too.
// Pure functions on raw bytes; no state, no allocation.
//
// Every conversion is exact where the target can hold the value, else rounds once, half to even:
//   f16, bf16 -> f32   exact, subnormals, infinities and NaN payloads included
//   q4_0      -> f32   y = d*(q-8)      exact (11 bits x 4 bits)
//   q8_0      -> f32   y = d*q          exact (11 bits x 8 bits)
//   tq1_0, tq2_0 -> f32   y = d*trit    exact
//   q6_k      -> f32   y = (d*scale)*q  d*scale is exact (11 x 8 bits), the second product rounds
// Source: the block definitions of ggml (ggml-common.h, ggml-quants.c).
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/tensor.h"

namespace tern::format {

// q4_0: 32 values: f16 d, q[16] with the values 0 to 15 in the low nibbles, 16 to 31 in the high.
// q8_0: 32 values: f16 d, int8 q[32].
// tq1_0, tq2_0: 256 values, see ternary/tq.h.
// q6_k: 256 values: ql[128] (low four bits), qh[64] (high two bits), int8 scale[16], f16 d.
// f32, f16 and bf16 are blocks of one value. The other ternary types have no blocks with a scale
// each (it belongs to a row or to the whole matrix): 0.
std::uint64_t block_elements(TensorType type);
std::uint64_t block_bytes(TensorType type);

// The bytes of one row; `columns` is a multiple of block_elements(type). Wraps for rows that no
// memory holds: the reader has refused those.
std::uint64_t row_bytes(TensorType type, std::uint64_t columns);

// Writes `columns` values to `out`. `row` has row_bytes(type, columns) bytes, of any alignment.
// Nothing is written for types without blocks.
void dequantize_row(TensorType type, const std::byte* row, std::size_t columns, float* out);

// Quantises `columns` values to q8_0 by ggml's reference: d = max|x|/127 rounded to f16 for
// storage, q = round(x * (1/d)) with the unrounded d, half away from zero. The values are finite.
void quantize_row_q8_0(const float* values, std::size_t columns, std::byte* row);

// The same to q6_k: in each group of 16 values the scale, of 19 tried, that fits best by squares,
// then 8 bits for it. Sums go in order, without fused operations.
void quantize_row_q6_k(const float* values, std::size_t columns, std::byte* row);

// One block from its parts: `d` as the bits of an f16, quants of -127 to 127 (q8_0) or -32 to 31
// (q6_k), one scale for each 16 quants. `block` has block_bytes() bytes.
void pack_q8_0(std::uint16_t d, const std::int8_t* quants, std::byte* block);
void pack_q6_k(std::uint16_t d, const std::int8_t* scales, const std::int8_t* quants,
               std::byte* block);

}  // namespace tern::format
