#include "backend/cpu/slots.h"

#include "kernels/packing.h"

namespace tern::backend {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Rows of codes are an odd number of lines, so that no few sets of a cache have to hold the same
// columns of all rows.
std::size_t padded_codes(const SlotSpec& spec) { return kernels::padded_columns(spec.width) | 64; }

// Scales, or sums, of the rows of a quantised slot.
std::size_t factor_bytes(std::uint32_t rows) { return round_up(rows * sizeof(float), 64); }

std::size_t slot_bytes(const SlotSpec& spec, std::uint32_t rows) {
  if (!spec.quantized) return round_up(std::size_t{rows} * spec.width * sizeof(float), 64);
  return rows * padded_codes(spec) + 2 * factor_bytes(rows);
}

}  // namespace

std::uint64_t Slots::bytes(const std::vector<SlotSpec>& specs, std::uint32_t rows) {
  std::uint64_t total = 0;
  for (const SlotSpec& spec : specs) total += slot_bytes(spec, rows);
  return total;
}

std::uint64_t Slots::own_bytes(const std::vector<SlotSpec>& specs, const std::vector<bool>& own) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < specs.size(); ++i) total += own[i] ? slot_bytes(specs[i], 1) : 0;
  return total;
}

Result<Slots> Slots::make(const std::vector<SlotSpec>& specs, std::uint32_t rows) {
  Slots made;
  TERN_ASSIGN(made.memory_, AlignedBuffer::allocate(bytes(specs, rows), "workspace"));
  std::size_t offset = 0;
  for (const SlotSpec& spec : specs) {
    made.slots_.push_back(made.placed(spec, rows, offset));
    offset += slot_bytes(spec, rows);
  }
  return made;
}

Result<Slots> Slots::make_own(const std::vector<SlotSpec>& specs, const std::vector<bool>& own,
                              const Slots& shared) {
  Slots made;
  made.slots_ = shared.slots_;
  TERN_ASSIGN(made.memory_, AlignedBuffer::allocate(own_bytes(specs, own), "workspace"));
  std::size_t offset = 0;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (!own[i]) continue;
    made.slots_[i] = made.placed(specs[i], 1, offset);
    offset += slot_bytes(specs[i], 1);
  }
  return made;
}

Slots::Slot Slots::placed(const SlotSpec& spec, std::uint32_t rows, std::size_t offset) {
  const std::size_t padded = padded_codes(spec);
  if (!spec.quantized) return {spec.width, padded, memory_.as<float>(offset), nullptr, nullptr};
  const std::size_t factors = offset + rows * padded;
  return {spec.width, padded, memory_.as<float>(factors), memory_.as<std::int8_t>(offset),
          memory_.as<std::int32_t>(factors + factor_bytes(rows))};
}

}  // namespace tern::backend
