// Floating-point bodies over a tier's vector vocabulary (generic/bodies.h): sums, norm, RoPE,
// element-wise functions, rows of dot products.
#pragma once

inline constexpr int kRegisters = kSumLanes / kLanes;
template <typename Weight>
inline constexpr int kVectorsPerLine = 64 / (kLanes * static_cast<int>(sizeof(Weight)));

// Weights of decode are read once a token: they need not push out what the caches hold, nor be
// written to the next cache when the first lets them go. But where the first cache has too few
// places for lines on their way from memory, only the second one keeps up with it.
TERN_INLINE void fetch_weights(const std::uint8_t* at, bool second_cache) {
  if (second_cache) {
    __builtin_prefetch(at, 0, 2);
  } else {
    __builtin_prefetch(at, 0, 0);
  }
}

struct Sum64 {
  Vec lanes[kRegisters];
};

TERN_INLINE Sum64 sum_zero() {
  Sum64 sum;
  for (int j = 0; j < kRegisters; ++j) sum.lanes[j] = splat(0.0f);
  return sum;
}

// The upper half of the lanes is folded onto the lower one until one is left.
template <int kWidth = kLanes / 2>
TERN_INLINE float fold_lanes(Vec v, Vec (*fold)(Vec, Vec)) {
  if constexpr (kWidth == 0) {
    return first_lane(v);
  } else {
    return fold_lanes<kWidth / 2>(fold(v, lanes_from<kWidth>(v)), fold);
  }
}

// The tree 32-16-8-4-2-1.
TERN_INLINE float sum_total(Sum64& sum) {
  for (int width = kRegisters / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sum.lanes[j] = add(sum.lanes[j], sum.lanes[j + width]);
  }
  return fold_lanes(sum.lanes[0], add);
}

// Elements beyond the last whole group of 64: lanes that get none stay untouched.
TERN_INLINE float sum_total_with_tail(Sum64& sum, const float* a, const float* b, std::size_t n) {
  float lanes[kSumLanes];
  for (int j = 0; j < kRegisters; ++j) store(lanes + j * kLanes, sum.lanes[j]);
  for (std::size_t i = 0; i < n; ++i) lanes[i] = fma1(a[i], b[i], lanes[i]);
  for (int j = 0; j < kRegisters; ++j) sum.lanes[j] = load(lanes + j * kLanes);
  return sum_total(sum);
}

// y[r] for `rows` rows of weights, at most kDotRows of them in turn while the next are fetched;
// `widen` loads a vector of weights and `widen1` one, both constants where this is inlined.
template <typename Weight>
TERN_INLINE void dot_block(const float* x, const Weight* w, std::size_t n, int rows, float* y,
                           Vec (*widen)(const Weight*), float (*widen1)(Weight)) {
  Sum64 sums[kDotRows];
  for (int r = 0; r < rows; ++r) sums[r] = sum_zero();
  std::size_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kRegisters; ++j) {
      const std::size_t at = i + static_cast<std::size_t>(j * kLanes);
      const Vec xs = load(x + at);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const Weight* row = w + static_cast<std::size_t>(r) * n;
        if (j % kVectorsPerLine<Weight> == 0) __builtin_prefetch(row + at + kDotRows * n, 0, 2);
        sums[r].lanes[j] = fmadd(xs, widen(row + at), sums[r].lanes[j]);
      }
    }
  }
  for (int r = 0; r < rows; ++r) {
    if (i == n) {
      y[r] = sum_total(sums[r]);
      continue;
    }
    float tail[kSumLanes];
    for (std::size_t k = i; k < n; ++k)
      tail[k - i] = widen1(w[static_cast<std::size_t>(r) * n + k]);
    y[r] = sum_total_with_tail(sums[r], x + i, tail, n - i);
  }
}

template <typename Weight>
TERN_INLINE void dot_rows(const float* x, const Weight* w, std::size_t n, std::size_t rows,
                          float* y, Vec (*widen)(const Weight*), float (*widen1)(Weight)) {
  std::size_t r = 0;
  for (; r + kDotRows <= rows; r += kDotRows)
    dot_block(x, w + r * n, n, kDotRows, y + r, widen, widen1);
  for (; r < rows; ++r) dot_block(x, w + r * n, n, 1, y + r, widen, widen1);
}

std::uint64_t fma_loop(std::uint64_t steps) {
  constexpr int kSums = 12;  // two units, of which each waits at most six cycles for a sum
  Vec sums[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = splat(static_cast<float>(i));
  const Vec x = splat(0.5f);
  const Vec y = splat(0.25f);
  for (std::uint64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = fmadd(sums[i], x, y);
  }
  float lanes[kSums * kLanes];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) store(lanes + i * kLanes, sums[i]);
  __asm__ volatile("" : : "m"(lanes));  // they are used, as far as the compiler knows
  return steps * kSums * kLanes;
}

TERN_INLINE float same(float x) { return x; }

void dot_rows_f32(const float* x, const float* w, std::size_t n, std::size_t rows, float* y) {
  dot_rows<float>(x, w, n, rows, y, load, same);
}

void dot_rows_f16(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                  float* y) {
  dot_rows<std::uint16_t>(x, w, n, rows, y, load_f16, f16_value);
}

void dot_rows_bf16(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  dot_rows<std::uint16_t>(x, w, n, rows, y, load_bf16, bf16_value);
}

void rms_norm(const float* x, const float* w, std::size_t n, float eps, float* y) {
  float squares = 0.0f;
  dot_rows_f32(x, x, n, 1, &squares);
  const float r = 1.0f / sqrt1(squares / static_cast<float>(n) + eps);
  const Vec rv = splat(r);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, mul(load(w + i), mul(load(x + i), rv)));
  for (; i < n; ++i) y[i] = w[i] * (x[i] * r);
}

void rope(const float* x, const float* cosine, const float* sine, std::size_t half, float* y) {
  std::size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vec x0 = load(x + i);
    const Vec x1 = load(x + i + half);
    const Vec c = load(cosine + i);
    const Vec s = load(sine + i);
    store(y + i, fmadd(x0, c, -mul(x1, s)));
    store(y + i + half, fmadd(x1, c, mul(x0, s)));
  }
  for (; i < half; ++i) {
    const float x0 = x[i];
    const float x1 = x[i + half];
    y[i] = fma1(x0, cosine[i], -(x1 * sine[i]));
    y[i + half] = fma1(x1, cosine[i], x0 * sine[i]);
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

// Of what is not above kExpHigh.
TERN_INLINE Vec exp_below_high(Vec x) {
  const Vec n = rint(mul(x, splat(kLog2E)));
  const Vec r = fmadd(-n, splat(kLn2Low), fmadd(-n, splat(kLn2High), x));
  Vec p = splat(kExpTerms[0]);
  for (int i = 1; i < 6; ++i) p = fmadd(p, r, splat(kExpTerms[i]));
  p = add(fmadd(p, mul(r, r), r), splat(1.0f));
  return where_less(x, splat(kExpLow), splat(0.0f), pow2_mul(p, n));
}

TERN_INLINE Vec exp_of(Vec x) {
  return where_less(splat(kExpHigh), x, splat(__builtin_inff()), exp_below_high(x));
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
    const Vec divisor = add(splat(1.0f), exp_of(-gate));
    store(y + i, mul(div(gate, divisor), load(u + i)));
  }
  for (; i < n; ++i) y[i] = (g[i] / (1.0f + exp_of_one(-g[i]))) * u[i];
}

void gelu_gate(const float* g, const float* u, std::size_t n, float* y) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec gate = load(g + i);
    const Vec z = mul(gate, fmadd(mul(gate, gate), splat(kGeluCubic), splat(kGeluLinear)));
    const Vec divisor = add(splat(1.0f), exp_of(-z));
    store(y + i, mul(div(gate, divisor), load(u + i)));
  }
  for (; i < n; ++i) {
    const float z = g[i] * fma1(g[i] * g[i], kGeluCubic, kGeluLinear);
    y[i] = (g[i] / (1.0f + exp_of_one(-z))) * u[i];
  }
}
