// The scalar tier: docs/numbers.md transcribed plainly. It is the definition that other tiers meet,
// so it is written to be read, not to be fast.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/float16.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/packing.h"
#include "kernels/scalar/elementary.h"
#include "kernels/tables.h"

namespace tern::kernels {
namespace {

constexpr std::uint32_t kMagnitudeMask = 0x7fffffffu;
constexpr std::uint32_t kInfinityBits = 0x7f800000u;

// The sum rule: element i goes to lane i mod 64, then the tree 32-16-8-4-2-1.
class LaneSum {
 public:
  void add_product(std::size_t i, float a, float b) {
    float& lane = lanes_[i % kSumLanes];
    lane = std::fma(a, b, lane);
  }
  void add(std::size_t i, float a) { lanes_[i % kSumLanes] += a; }
  float total() {
    for (int width = kSumLanes / 2; width > 0; width /= 2) {
      for (int lane = 0; lane < width; ++lane) lanes_[lane] += lanes_[lane + width];
    }
    return lanes_[0];
  }

 private:
  float lanes_[kSumLanes] = {};
};

unsigned code_of(unsigned byte, Packing packing, std::size_t plane) {
  if (packing == Packing::kTwoBits) return (byte >> (plane * 2)) & 3u;
  constexpr unsigned kPower[] = {3, 1, 9, 3, 1};
  const unsigned group = plane < 2 ? byte / 28 : byte % 28;
  return group / kPower[plane] % 3;
}

int trit(const TernaryTiles& w, std::size_t row, std::size_t column) {
  const std::size_t columns = columns_of_tile(w.packing);
  const std::uint8_t* tile = w.codes + (row / kTileRows * w.tiles + column / columns) * kTileBytes;
  const std::size_t within = column % columns;
  const unsigned byte = tile[row % kTileRows * 4 + within % 4];
  return static_cast<int>(code_of(byte, w.packing, within / 4)) - 1;
}

void ternary_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                    std::size_t tokens, float* y, std::size_t y_stride) {
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::int8_t* q = x.values + t * x.stride;
    for (std::size_t r = 0; r < rows; ++r) {
      std::int32_t acc = 0;
      for (std::size_t c = 0; c < w.tiles * columns_of_tile(w.packing); ++c)
        acc += q[c] * trit(w, r, c);
      y[t * y_stride + r] = static_cast<float>(acc) * (w.scale * x.scales[t]);
    }
  }
}

std::uint64_t multiply_accumulate_loop(std::uint64_t steps) {
  std::int32_t acc = 0;
  for (std::uint64_t i = 0; i < steps; ++i) {
    std::int32_t code = static_cast<std::int32_t>(i & 1);
    __asm__ volatile("" : "+r"(code), "+r"(acc));  // keeps the product in the loop
    acc += code * 127;
    __asm__ volatile("" : "+r"(acc));
  }
  return steps;
}

std::uint64_t fma_loop(std::uint64_t steps) {
  float sum = 0.0f;
  for (std::uint64_t i = 0; i < steps; ++i) {
    __asm__ volatile("" : "+m"(sum));
    sum = std::fma(sum, 0.5f, 0.25f);
  }
  __asm__ volatile("" : : "m"(sum));
  return steps;
}

bool quantize(const float* x, std::size_t n, std::size_t padded, std::int8_t* q, float* d,
              std::int32_t* sum) {
  std::uint32_t magnitude = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]) & kMagnitudeMask;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  if (magnitude >= kInfinityBits) return false;
  float m = std::bit_cast<float>(magnitude);
  m = m > kLeastMaximum ? m : kLeastMaximum;
  const float to_code = kCodeRange / m;
  std::int32_t total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    q[i] = static_cast<std::int8_t>(std::rint(x[i] * to_code));
    total += q[i];
  }
  std::memset(q + n, 0, padded - n);
  *d = m / kCodeRange;
  *sum = total;
  return true;
}

void rms_norm(const float* x, const float* w, std::size_t n, float eps, float* y) {
  LaneSum squares;
  for (std::size_t i = 0; i < n; ++i) squares.add_product(i, x[i], x[i]);
  const float r = 1.0f / std::sqrt(squares.total() / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) y[i] = w[i] * (x[i] * r);
}

void rope(const float* x, const float* cosine, const float* sine, std::size_t half, float* y) {
  for (std::size_t i = 0; i < half; ++i) {
    const float x0 = x[i];
    const float x1 = x[i + half];
    y[i] = std::fma(x0, cosine[i], -(x1 * sine[i]));
    y[i + half] = std::fma(x1, cosine[i], x0 * sine[i]);
  }
}

void add(const float* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] += x[i];
}

void relu2_gate(const float* g, const float* u, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    const float positive = g[i] > 0.0f ? g[i] : 0.0f;
    y[i] = (positive * positive) * u[i];
  }
}

void silu_gate(const float* g, const float* u, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = (g[i] / (1.0f + fixed_expf(-g[i]))) * u[i];
}

void gelu_gate(const float* g, const float* u, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    const float z = g[i] * std::fma(g[i] * g[i], kGeluCubic, kGeluLinear);
    y[i] = (g[i] / (1.0f + fixed_expf(-z))) * u[i];
  }
}

bool store_f16(const float* x, std::size_t n, std::uint16_t* out, std::size_t out_stride) {
  bool finite = true;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t half = f32_to_f16(x[i]);
    out[i * out_stride] = half;
    finite = finite && (half & 0x7c00u) != 0x7c00u;
  }
  return finite;
}

std::size_t padded_dim(std::size_t head_dim) {
  return (head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
}

void attend_one(const AttentionQuery& query, float scale, const KeyValueChunk& kv,
                AttentionState* part) {
  float scores[kChunkKeys];
  float maximum = -std::numeric_limits<float>::infinity();
  for (std::size_t key = 0; key < query.keys; ++key) {
    const std::uint16_t* page = kv.pages[key / kPageKeys].keys;
    float chain = 0.0f;
    for (std::size_t d = 0; d < kv.head_dim; ++d) {
      chain = std::fma(query.q[d], f16_to_f32(page[d * kPageKeys + key % kPageKeys]), chain);
    }
    scores[key] = chain * scale;
    maximum = scores[key] > maximum ? scores[key] : maximum;
  }
  const std::size_t width = padded_dim(kv.head_dim);
  for (std::size_t d = 0; d < width; ++d) part->out[d] = 0.0f;
  LaneSum weights;
  for (std::size_t key = 0; key < query.keys; ++key) {
    const float p = fixed_expf(scores[key] - maximum);
    weights.add(key, p);
    const std::uint16_t* values = kv.pages[key / kPageKeys].values + key % kPageKeys * width;
    for (std::size_t d = 0; d < kv.head_dim; ++d) {
      part->out[d] = std::fma(p, f16_to_f32(values[d]), part->out[d]);
    }
  }
  part->maximum = maximum;
  part->sum = weights.total();
}

void attention_chunk(const AttentionQuery* queries, std::size_t count, float scale,
                     const KeyValueChunk& kv, AttentionState* parts) {
  for (std::size_t i = 0; i < count; ++i) attend_one(queries[i], scale, kv, &parts[i]);
}

float int8_score(const Int8Query& query, float scale, const Int8Page& page, std::size_t head_dim,
                 std::size_t slot) {
  std::int32_t acc = 0;
  for (std::size_t d = 0; d < head_dim; ++d) {
    acc += query.codes[d] * page.keys[(d / kQuad * kPageKeys + slot) * kQuad + d % kQuad];
  }
  return static_cast<float>(acc) * (page.key_scales[slot] * (query.scale * scale));
}

// weights[key] = P, and the unit of P is returned.
float int8_weights(const float* p, std::size_t keys, const Int8Page* pages, std::int32_t* weights) {
  float scaled[kChunkKeys];
  float maximum = 0.0f;
  for (std::size_t key = 0; key < keys; ++key) {
    const float weight = p[key] * pages[key / kPageKeys].value_scales[key % kPageKeys];
    scaled[key] = weight > 0.0f ? weight : 0.0f;  // a NaN shows in the sum of p
    maximum = scaled[key] > maximum ? scaled[key] : maximum;
  }
  if (maximum == 0.0f) {
    std::memset(weights, 0, keys * sizeof *weights);
    return 0.0f;
  }
  for (std::size_t key = 0; key < keys; ++key) {
    weights[key] = static_cast<std::int32_t>(std::rint(scaled[key] * (kWeightRange / maximum)));
  }
  return maximum / kWeightRange;
}

void attend_one_int8(const Int8Query& query, float scale, const Int8Chunk& kv,
                     AttentionState* part) {
  float scores[kChunkKeys];
  float maximum = -std::numeric_limits<float>::infinity();
  for (std::size_t key = 0; key < query.keys; ++key) {
    scores[key] = int8_score(query, scale, kv.pages[key / kPageKeys], kv.head_dim, key % kPageKeys);
    maximum = scores[key] > maximum ? scores[key] : maximum;
  }
  float p[kChunkKeys];
  LaneSum sum;
  for (std::size_t key = 0; key < query.keys; ++key) {
    p[key] = fixed_expf(scores[key] - maximum);
    sum.add(key, p[key]);
  }
  std::int32_t weights[kChunkKeys];
  const float unit = int8_weights(p, query.keys, kv.pages, weights);
  const std::size_t width = padded_dim(kv.head_dim);
  for (std::size_t d = 0; d < width; ++d) {
    std::int32_t acc = 0;
    for (std::size_t key = 0; key < query.keys; ++key) {
      const std::int8_t* values = kv.pages[key / kPageKeys].values;
      const std::size_t slot = key % kPageKeys;
      acc += weights[key] * values[(slot / kQuad * width + d) * kQuad + slot % kQuad];
    }
    part->out[d] = static_cast<float>(acc) * unit;
  }
  part->maximum = maximum;
  part->sum = sum.total();
}

void attention_chunk_int8(const Int8Query* queries, std::size_t count, float scale,
                          const Int8Chunk& kv, AttentionState* parts) {
  for (std::size_t i = 0; i < count; ++i) attend_one_int8(queries[i], scale, kv, &parts[i]);
}

void attention_fold(const AttentionState& part, std::size_t head_dim, AttentionState* total) {
  const float maximum = part.maximum > total->maximum ? part.maximum : total->maximum;
  const float a = fixed_expf(total->maximum - maximum);
  const float b = fixed_expf(part.maximum - maximum);
  total->maximum = maximum;
  total->sum = std::fma(total->sum, a, part.sum * b);
  for (std::size_t d = 0; d < head_dim; ++d) {
    total->out[d] = std::fma(total->out[d], a, part.out[d] * b);
  }
}

void attention_output(const AttentionState& total, std::size_t head_dim, float* y) {
  for (std::size_t d = 0; d < head_dim; ++d) y[d] = total.out[d] / total.sum;
}

template <typename Weight>
void dot_rows(const float* x, const Weight* w, std::size_t n, std::size_t rows, float* y,
              float (*value)(Weight)) {
  for (std::size_t r = 0; r < rows; ++r) {
    LaneSum sum;
    for (std::size_t i = 0; i < n; ++i) sum.add_product(i, x[i], value(w[r * n + i]));
    y[r] = sum.total();
  }
}

void dot_rows_f32(const float* x, const float* w, std::size_t n, std::size_t rows, float* y) {
  dot_rows<float>(x, w, n, rows, y, [](float v) { return v; });
}

void dot_rows_f16(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                  float* y) {
  dot_rows<std::uint16_t>(x, w, n, rows, y, f16_to_f32);
}

void dot_rows_bf16(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  dot_rows<std::uint16_t>(x, w, n, rows, y, bf16_to_f32);
}

float f16_at(const std::uint8_t* bytes) {
  std::uint16_t half;
  std::memcpy(&half, bytes, sizeof half);
  return f16_to_f32(half);
}

int signed_byte(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

// 32 values: f16 d, int8 q[32].
float q8_0_value(const std::uint8_t* row, std::size_t i) {
  const std::uint8_t* block = row + i / 32 * 34;
  return f16_at(block) * static_cast<float>(signed_byte(block[2 + i % 32]));
}

// 256 values: ql[128], qh[64], int8 scale[16], f16 d. Value 32*g + i of a half takes its low bits
// from a nibble of ql[32*(g%2) + i] and its high bits from bits 2g+1:2g of qh[i].
float q6_k_value(const std::uint8_t* row, std::size_t i) {
  const std::uint8_t* block = row + i / 256 * 210;
  const std::size_t half = i % 256 / 128;
  const std::size_t g = i % 128 / 32;
  const int low = block[64 * half + 32 * (g % 2) + i % 32] >> (g < 2 ? 0 : 4) & 15;
  const int high = block[128 + 32 * half + i % 32] >> (2 * g) & 3;
  const auto scale = static_cast<float>(signed_byte(block[192 + i % 256 / 16]));
  return (f16_at(block + 208) * scale) * static_cast<float>((low | high << 4) - 32);
}

void dot_rows_q8_0(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  for (std::size_t r = 0; r < rows; ++r) {
    LaneSum sum;
    for (std::size_t i = 0; i < n; ++i)
      sum.add_product(i, x[i], q8_0_value(w + r * n / 32 * 34, i));
    y[r] = sum.total();
  }
}

void dot_rows_q6_k(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  for (std::size_t r = 0; r < rows; ++r) {
    LaneSum sum;
    for (std::size_t i = 0; i < n; ++i) {
      sum.add_product(i, x[i], q6_k_value(w + r * n / 256 * 210, i));
    }
    y[r] = sum.total();
  }
}

// The sum of row r times the digits of row q of x, the high ones or (1) the low ones.
float scan_sum(const ScanTiles& w, std::size_t r, const DigitRows& x, std::size_t q,
               std::size_t digit) {
  const std::uint8_t* group = w.codes + r / kTileRows * w.tiles * kScanTileBytes;
  std::int32_t sum = 0;
  for (std::size_t c = 0; c < w.tiles * kScanColumns; ++c) {
    const std::size_t tile = c / kScanColumns;
    const std::size_t column = c % kScanColumns;
    const std::int8_t* digits = x.digits + (tile * x.rows + q) * kDigitBytes;
    const int weight = group[tile * kScanTileBytes + r % kTileRows * kScanColumns + column] - 128;
    sum += weight * digits[digit * kScanColumns + column];
  }
  return static_cast<float>(sum);
}

void scan_high(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* const* high) {
  for (std::size_t q = 0; q < x.rows; ++q) {
    for (std::size_t r = 0; r < rows; ++r) high[q][r] = scan_sum(w, r, x, q, 0);
  }
}

void high_bounds(const ScanTiles& w, const ScanErrors& errors, std::size_t rows, const float* high,
                 float scale, const ScanBound& bound, float* upper) {
  for (std::size_t r = 0; r < rows; ++r) {
    const float value = (high[r] * 256.0f) * (w.scales[r] * scale);
    const float off = errors.residuals[r] * bound.of_residual + errors.norms[r] * bound.of_norm;
    upper[r] = value + (off + bound.constant);
  }
}

void scan_low(const ScanTiles& w, std::size_t rows, const DigitRows& x, std::size_t first,
              std::size_t count, float* const* values) {
  for (std::size_t q = first; q < first + count; ++q) {
    for (std::size_t r = 0; r < rows; ++r) {
      const float sum = std::fma(values[q][r], 256.0f, scan_sum(w, r, x, q, 1));
      values[q][r] = sum * (w.scales[r] * x.of[q].scale);
    }
  }
}

void scan_rows(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* s) {
  scan_high(w, rows, x, &s);
  scan_low(w, rows, x, 0, 1, &s);
}

void widen_f16(const std::uint16_t* halves, std::size_t n, float* x) {
  for (std::size_t i = 0; i < n; ++i) x[i] = f16_to_f32(halves[i]);
}

// Sums of squares of n values in f64.
class Squares {
 public:
  explicit Squares(std::size_t n) : whole_(n - n % kSums) {}
  void add(std::size_t i, double value) { sums_[i < whole_ ? i % kSums : 0] += value * value; }
  double total() const {
    double total = 0.0;
    for (const double sum : sums_) total += sum;
    return total;
  }

 private:
  static constexpr std::size_t kSums = 8;
  std::size_t whole_;
  double sums_[kSums] = {};
};

double row_squares(const float* x, std::size_t n, float* largest) {
  Squares squares(n);
  std::uint32_t magnitude = 0;
  for (std::size_t i = 0; i < n; ++i) {
    squares.add(i, x[i]);
    magnitude = std::max(magnitude, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu);
  }
  *largest = std::bit_cast<float>(magnitude);
  return squares.total();
}

double round_row(const float* x, std::size_t n, float to_code, float scale, std::uint8_t* codes) {
  Squares squares(n);
  for (std::size_t c = 0; c < (n + kScanColumns - 1) / kScanColumns * kScanColumns; ++c) {
    const float rounded = c < n ? std::rint(x[c] * to_code) : 0.0f;
    codes[c / kScanColumns * kScanTileBytes + c % kScanColumns] =
        static_cast<std::uint8_t>(128 + static_cast<int>(rounded));
    if (c < n) squares.add(c, double{x[c]} - double{scale} * double{rounded});
  }
  return squares.total();
}

}  // namespace

float fixed_expf(float x) {
  if (x < kExpLow) return 0.0f;
  if (!(x <= kExpHigh)) return x > kExpHigh ? std::numeric_limits<float>::infinity() : x;  // NaN
  const float n = std::rint(x * kLog2E);
  const float r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  float p = kExpTerms[0];
  for (int i = 1; i < 6; ++i) p = std::fma(p, r, kExpTerms[i]);
  p = std::fma(p, r * r, r) + 1.0f;
  const int whole = static_cast<int>(n);
  const int half = whole >> 1;  // two steps keep both factors normal
  const auto power = [](int e) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
  };
  return p * power(half) * power(whole - half);
}

const KernelTable kScalarTable{
    .name = "scalar",
    .required_features = 0,
    .five_trits = true,
    .packing = Packing::kTwoBits,
    .read = {1, 0, false},
    .ternary_linear = ternary_linear,
    .multiply_accumulate_loop = multiply_accumulate_loop,
    .fma_loop = fma_loop,
    .quantize = quantize,
    .rms_norm = rms_norm,
    .rope = rope,
    .add = add,
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

}  // namespace tern::kernels
