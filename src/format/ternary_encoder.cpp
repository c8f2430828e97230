#include "format/ternary_encoder.h"

#include <cmath>
#include <numeric>
#include <string>

#include "core/float16.h"
#include "format/float_blocks.h"
#include "format/ternary/i2_s.h"
#include "format/ternary/iq_bn.h"
#include "format/ternary/tl.h"
#include "format/ternary_matrix.h"

namespace tern::format {
namespace {

TlLayout tl_layout(TensorType type) {
  return type == TensorType::kTL1 ? TlLayout::kTl1 : TlLayout::kTl2;
}

IqBnLayout iq_bn_layout(TensorType type) {
  return type == TensorType::kIQ1_BN ? IqBnLayout::kIq1Bn : IqBnLayout::kIq2Bn;
}

Error unsupported(TensorType type, const std::string& message) {
  return Error{ErrorCode::kUnsupported, std::string(name(type)) + message, ""};
}

// Rows of whole blocks.
Result<void> require_blocks(TensorType type, std::uint64_t values, std::uint64_t block) {
  if (values % block == 0) return {};
  return unsupported(type, " holds multiples of " + std::to_string(block) +
                               " values, and this tensor has " + std::to_string(values) +
                               "; choose another type");
}

}  // namespace

bool has_f16_scales(TensorType type) {
  return type == TensorType::kTQ1_0 || type == TensorType::kTQ2_0 || type == TensorType::kIQ1_BN;
}

bool holds_scale(TensorType type, float scale) {
  return !has_f16_scales(type) || f16_to_f32(f32_to_f16(scale)) == scale;
}

Result<TernaryEncoder> TernaryEncoder::create(TensorType type, std::uint64_t rows,
                                              std::uint64_t columns, float scale,
                                              const TlTiling& tiling) {
  std::uint64_t elements = 0;
  if (!is_ternary(type) || __builtin_mul_overflow(rows, columns, &elements) || elements == 0) {
    return unsupported(type, ": not a ternary matrix of " + std::to_string(rows) + " x " +
                                 std::to_string(columns));
  }
  if (!std::isfinite(scale) || scale < 0) {
    return unsupported(type,
                       ": expected a finite scale of at least 0, found " + std::to_string(scale));
  }
  if (!holds_scale(type, scale)) {
    return unsupported(
        type, " has f16 scales, which cannot hold the scale " + std::to_string(scale) + " exactly");
  }
  TernaryEncoder encoder(type, rows, columns, scale, tiling);
  TERN_TRY(encoder.measure());
  return encoder;
}

Result<void> TernaryEncoder::measure() {
  switch (type_) {
    case TensorType::kTL1:
    case TensorType::kTL2:
      TERN_TRY(check_tl_shape(tl_layout(type_), rows_, columns_));
      if (!tiling_.known()) tiling_ = canonical_tl_tiling(tl_layout(type_), rows_, columns_);
      TERN_TRY(check_tl_tiling(tl_layout(type_), rows_, columns_, tiling_));
      bytes_ = tl_bytes(tl_layout(type_), rows_, columns_);
      row_step_ = tiling_.bm;
      return {};
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN:
      TERN_TRY(require_blocks(type_, columns_, kIqBnBlockElements));
      bytes_ = rows_ * iq_bn_row_bytes(iq_bn_layout(type_), columns_);
      return {};
    case TensorType::kI2_S:
      TERN_TRY(require_blocks(type_, rows_ * columns_, kI2sBlockElements));
      bytes_ = i2_s_bytes(rows_ * columns_);
      row_step_ = kI2sBlockElements / std::gcd(kI2sBlockElements, columns_);
      return {};
    default:
      TERN_TRY(require_blocks(type_, columns_, block_elements(type_)));
      bytes_ = rows_ * row_bytes(type_, columns_);
      return {};
  }
}

Result<void> TernaryEncoder::encode(std::uint64_t first, std::uint64_t count,
                                    const std::int8_t* trits, std::vector<std::byte>& scratch,
                                    const Put& put) const {
  if (type_ == TensorType::kTL1 || type_ == TensorType::kTL2) {
    for (const TlRun& run :
         encode_tl_rows(tl_layout(type_), rows_, columns_, tiling_, first, count, trits)) {
      TERN_TRY(put(run.offset, run.bytes));
    }
    return {};
  }
  if (type_ == TensorType::kIQ1_BN || type_ == TensorType::kIQ2_BN) {
    const std::uint64_t bytes = iq_bn_row_bytes(iq_bn_layout(type_), columns_);
    scratch.resize(count * bytes);
    for (std::uint64_t r = 0; r < count; ++r) {
      encode_iq_bn_row(iq_bn_layout(type_), trits + r * columns_, columns_, scale_,
                       scratch.data() + r * bytes);
    }
    return put(first * bytes, scratch);
  }
  scratch.clear();
  encode_trits(type_, trits, count * columns_, scale_, scratch);
  return put(type_ == TensorType::kI2_S ? first * columns_ / 4 : first * row_bytes(type_, columns_),
             scratch);
}

Result<void> TernaryEncoder::finish(const Put& put) const {
  if (type_ == TensorType::kI2_S) {
    const auto tail = i2_s_tail(scale_);
    return put(bytes_ - tail.size(), tail);
  }
  if (type_ != TensorType::kTL1 && type_ != TensorType::kTL2) return {};
  const TlRun tail = tl_tail(tl_layout(type_), rows_, columns_, tiling_, scale_);
  return put(tail.offset, tail.bytes);
}

}  // namespace tern::format
