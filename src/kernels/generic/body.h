// Kernel bodies over a tier's vector vocabulary, written once. A tier includes its simd.h, then
// this file, inside namespace tern::kernels and an anonymous namespace: everything here has
// internal linkage. No standard headers: a shared inline function must not be compiled with a
// tier's flags.
//
// The vocabulary: Vec of kLanes floats with load, store, splat, add, sub, mul, div, fmadd, negate,
// relu (a > 0 ? a : +0), load_f16, load_bf16, rint, pow2_mul (a * 2^n in two steps) and
// where_less(a, b, x, y) (a < b ? x : y); and for one value f16_value, bf16_value, fma1, sqrt1.

inline constexpr int kRegisters = kSumLanes / kLanes;

struct Sum64 {
  Vec lanes[kRegisters];
};

TERN_INLINE Sum64 sum_zero() {
  Sum64 sum;
  for (int j = 0; j < kRegisters; ++j) sum.lanes[j] = splat(0.0f);
  return sum;
}

TERN_INLINE float tree_of(const float* lanes, int count) {
  float buffer[kSumLanes];
  for (int i = 0; i < count; ++i) buffer[i] = lanes[i];
  for (int width = count / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) buffer[i] = buffer[i] + buffer[i + width];
  }
  return buffer[0];
}

// The tree 32-16-8-4-2-1.
TERN_INLINE float sum_total(Sum64& sum) {
  for (int width = kRegisters / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sum.lanes[j] = add(sum.lanes[j], sum.lanes[j + width]);
  }
  float last[kLanes];
  store(last, sum.lanes[0]);
  return tree_of(last, kLanes);
}

// Elements beyond the last whole group of 64: lanes that get none stay untouched.
TERN_INLINE float sum_total_with_tail(const Sum64& sum, const float* a, const float* b,
                                      std::size_t n) {
  float lanes[kSumLanes];
  for (int j = 0; j < kRegisters; ++j) store(lanes + j * kLanes, sum.lanes[j]);
  for (std::size_t i = 0; i < n; ++i) lanes[i] = fma1(a[i], b[i], lanes[i]);
  return tree_of(lanes, kSumLanes);
}

float dot_f32(const float* x, const float* w, std::size_t n) {
  Sum64 sum = sum_zero();
  std::size_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      const std::size_t at = i + static_cast<std::size_t>(j * kLanes);
      sum.lanes[j] = fmadd(load(x + at), load(w + at), sum.lanes[j]);
    }
  }
  return i == n ? sum_total(sum) : sum_total_with_tail(sum, x + i, w + i, n - i);
}

// Half-width weights: `widen` is load_f16 or load_bf16, `widen1` the same for one value; both are
// constants where this is inlined.
TERN_INLINE float dot_half(const float* x, const std::uint16_t* w, std::size_t n,
                           Vec (*widen)(const std::uint16_t*), float (*widen1)(std::uint16_t)) {
  Sum64 sum = sum_zero();
  std::size_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      const std::size_t at = i + static_cast<std::size_t>(j * kLanes);
      sum.lanes[j] = fmadd(load(x + at), widen(w + at), sum.lanes[j]);
    }
  }
  if (i == n) return sum_total(sum);
  float tail[kSumLanes];
  for (std::size_t k = i; k < n; ++k) tail[k - i] = widen1(w[k]);
  return sum_total_with_tail(sum, x + i, tail, n - i);
}

float dot_f16(const float* x, const std::uint16_t* w, std::size_t n) {
  return dot_half(x, w, n, load_f16, f16_value);
}

float dot_bf16(const float* x, const std::uint16_t* w, std::size_t n) {
  return dot_half(x, w, n, load_bf16, bf16_value);
}

void rms_norm(const float* x, const float* w, std::size_t n, float eps, float* y) {
  const float r = 1.0f / sqrt1(dot_f32(x, x, n) / static_cast<float>(n) + eps);
  const Vec rv = splat(r);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, mul(load(w + i), mul(load(x + i), rv)));
  for (; i < n; ++i) y[i] = w[i] * (x[i] * r);
}

void rope(float* x, const float* cosine, const float* sine, std::size_t half) {
  std::size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vec x0 = load(x + i);
    const Vec x1 = load(x + i + half);
    const Vec c = load(cosine + i);
    const Vec s = load(sine + i);
    store(x + i, fmadd(x0, c, negate(mul(x1, s))));
    store(x + i + half, fmadd(x1, c, mul(x0, s)));
  }
  for (; i < half; ++i) {
    const float x0 = x[i];
    const float x1 = x[i + half];
    x[i] = fma1(x0, cosine[i], -(x1 * sine[i]));
    x[i + half] = fma1(x1, cosine[i], x0 * sine[i]);
  }
}

void add_to(const float* x, std::size_t n, float* y) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, add(load(y + i), load(x + i)));
  for (; i < n; ++i) y[i] = y[i] + x[i];
}

void relu2_gate(const float* g, const float* u, std::size_t n, float* y) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec positive = relu(load(g + i));
    store(y + i, mul(mul(positive, positive), load(u + i)));
  }
  for (; i < n; ++i) {
    const float positive = g[i] > 0.0f ? g[i] : 0.0f;
    y[i] = (positive * positive) * u[i];
  }
}

TERN_INLINE Vec exp_of(Vec x) {
  const Vec n = rint(mul(x, splat(kLog2E)));
  const Vec minus_n = negate(n);
  const Vec r = fmadd(minus_n, splat(kLn2Low), fmadd(minus_n, splat(kLn2High), x));
  Vec p = splat(kExpTerms[0]);
  for (int i = 1; i < 6; ++i) p = fmadd(p, r, splat(kExpTerms[i]));
  p = add(fmadd(p, mul(r, r), r), splat(1.0f));
  const Vec result = pow2_mul(p, n);
  const Vec capped = where_less(splat(kExpHigh), x, splat(__builtin_inff()), result);
  return where_less(x, splat(kExpLow), splat(0.0f), capped);
}

TERN_INLINE float exp_of_one(float x) {
  float lanes[kLanes];
  store(lanes, exp_of(splat(x)));
  return lanes[0];
}

void silu_gate(const float* g, const float* u, std::size_t n, float* y) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec gate = load(g + i);
    const Vec divisor = add(splat(1.0f), exp_of(negate(gate)));
    store(y + i, mul(div(gate, divisor), load(u + i)));
  }
  for (; i < n; ++i) y[i] = (g[i] / (1.0f + exp_of_one(-g[i]))) * u[i];
}

// Scores of one page of keys, whatever its fill: K is dimension-major, so each key is one lane.
TERN_INLINE void page_scores(const float* q, float scale, const std::uint16_t* page,
                             std::size_t head_dim, float* scores) {
  constexpr int kVectors = static_cast<int>(kPageKeys) / kLanes;
  Vec chains[kVectors];
  for (int j = 0; j < kVectors; ++j) chains[j] = splat(0.0f);
  for (std::size_t d = 0; d < head_dim; ++d) {
    const Vec query = splat(q[d]);
    for (int j = 0; j < kVectors; ++j) {
      chains[j] = fmadd(query, load_f16(page + d * kPageKeys + j * kLanes), chains[j]);
    }
  }
  for (int j = 0; j < kVectors; ++j) store(scores + j * kLanes, mul(chains[j], splat(scale)));
}

// out[0, 16) += p[key] * V[key][0, 16) for each key in turn: one chain an output.
TERN_INLINE void weighted_values(const float* p, const KeyValueChunk& kv, std::size_t width,
                                 std::size_t d, float* out) {
  constexpr int kVectors = static_cast<int>(kValueAlign) / kLanes;
  Vec chains[kVectors];
  for (int j = 0; j < kVectors; ++j) chains[j] = splat(0.0f);
  for (std::size_t first = 0; first < kv.keys; first += kPageKeys) {
    const std::uint16_t* values = kv.v_pages[first / kPageKeys] + d;
    const std::size_t count = kv.keys - first < kPageKeys ? kv.keys - first : kPageKeys;
    for (std::size_t key = 0; key < count; ++key, values += width) {
      const Vec weight = splat(p[first + key]);
      for (int j = 0; j < kVectors; ++j) {
        chains[j] = fmadd(weight, load_f16(values + j * kLanes), chains[j]);
      }
    }
  }
  for (int j = 0; j < kVectors; ++j) store(out + j * kLanes, chains[j]);
}

void attention_chunk(const float* q, float scale, const KeyValueChunk& kv, AttentionState* part) {
  float p[kChunkKeys];
  for (std::size_t first = 0; first < kv.keys; first += kPageKeys) {
    page_scores(q, scale, kv.k_pages[first / kPageKeys], kv.head_dim, p + first);
  }
  float maximum = -__builtin_inff();
  for (std::size_t key = 0; key < kv.keys; ++key) maximum = p[key] > maximum ? p[key] : maximum;
  const std::size_t whole = (kv.keys + kLanes - 1) / kLanes * kLanes;
  for (std::size_t key = 0; key < whole; key += kLanes) {
    store(p + key, exp_of(sub(load(p + key), splat(maximum))));
  }
  float lanes[kSumLanes] = {};
  for (std::size_t key = 0; key < kv.keys; ++key) {
    lanes[key % kSumLanes] = lanes[key % kSumLanes] + p[key];
  }
  part->maximum = maximum;
  part->sum = tree_of(lanes, kSumLanes);
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  for (std::size_t d = 0; d < width; d += kValueAlign) {
    weighted_values(p, kv, width, d, part->out + d);
  }
}

void attention_fold(const AttentionState& part, std::size_t head_dim, AttentionState* total) {
  const float maximum = part.maximum > total->maximum ? part.maximum : total->maximum;
  const float a = exp_of_one(total->maximum - maximum);
  const float b = exp_of_one(part.maximum - maximum);
  total->maximum = maximum;
  total->sum = fma1(total->sum, a, part.sum * b);
  for (std::size_t d = 0; d < head_dim; d += kLanes) {  // states are padded to kValueAlign
    store(total->out + d, fmadd(load(total->out + d), splat(a), mul(load(part.out + d), splat(b))));
  }
}

void attention_output(const AttentionState& total, std::size_t head_dim, float* y) {
  std::size_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    store(y + d, div(load(total.out + d), splat(total.sum)));
  }
  for (; d < head_dim; ++d) y[d] = total.out[d] / total.sum;
}
