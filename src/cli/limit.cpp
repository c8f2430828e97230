#include "cli/limit.h"

#include <algorithm>

#include "arch/footprint.h"
#include "diagnose/measure/read_ceiling.h"

namespace tern::cli {

Result<Limit> measure_limit(const model::Model& model, std::uint64_t weight_bytes,
                            format::KvType kv, std::uint64_t prompt, std::uint64_t steps) {
  // The step at position p reads the keys and values of p + 1 positions.
  const double positions = static_cast<double>(prompt) + 0.5 * static_cast<double>(steps + 1);
  const auto position_bytes = static_cast<double>(arch::kv_bytes_per_token(model.config(), kv));
  Limit limit;
  limit.bytes_per_token = static_cast<double>(weight_bytes) + positions * position_bytes;
  const auto size =
      std::min(static_cast<std::uint64_t>(limit.bytes_per_token), diagnose::kShortReadBuffer);
  TERN_ASSIGN(
      const diagnose::ReadCeiling rate,
      diagnose::measure_read_ceiling(size, model.backend().threads(), diagnose::kShortReadBudget));
  limit.bytes_per_second = rate.bytes_per_second;
  limit.tokens_per_second = rate.bytes_per_second / limit.bytes_per_token;
  return limit;
}

}  // namespace tern::cli
