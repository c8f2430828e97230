// Where the rows of a plan's slots lie in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/plan.h"
#include "core/aligned_buffer.h"
#include "core/result.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

// Slots as one worker sees them: some of its own, some that it shares with others.
class Slots {
 public:
  // `rows` rows of all slots. Errors: kOutOfMemory.
  static Result<Slots> make(const std::vector<SlotSpec>& specs, std::uint32_t rows);
  static std::uint64_t bytes(const std::vector<SlotSpec>& specs, std::uint32_t rows);

  // One row of those slots that `own` names, beside the other slots of `shared`, which must outlive
  // it. Errors: kOutOfMemory.
  static Result<Slots> make_own(const std::vector<SlotSpec>& specs, const std::vector<bool>& own,
                                const Slots& shared);
  static std::uint64_t own_bytes(const std::vector<SlotSpec>& specs, const std::vector<bool>& own);

  std::size_t width(SlotId slot) const { return slots_[slot].width; }
  // One row of a float slot.
  float* row(SlotId slot, std::size_t row) const {
    return slots_[slot].floats + row * slots_[slot].width;
  }

  // A quantised slot: codes and their scale and sum, one row or all.
  std::size_t padded_width(SlotId slot) const { return slots_[slot].padded; }
  std::int8_t* codes(SlotId slot, std::size_t row) const {
    return slots_[slot].codes + row * slots_[slot].padded;
  }
  float* scale(SlotId slot, std::size_t row) const { return slots_[slot].floats + row; }
  std::int32_t* sum(SlotId slot, std::size_t row) const { return slots_[slot].sums + row; }
  kernels::QuantizedRows quantized(SlotId slot) const {
    const Slot& s = slots_[slot];
    return {s.codes, s.padded, s.floats, s.sums};
  }

 private:
  struct Slot {
    std::size_t width;
    std::size_t padded;  // bytes of a quantised row
    float* floats;       // or the scales of quantised rows
    std::int8_t* codes;  // quantised slots only
    std::int32_t* sums;
  };
  Slot placed(const SlotSpec& spec, std::uint32_t rows, std::size_t offset);

  std::vector<Slot> slots_;
  AlignedBuffer memory_;
};

}  // namespace tern::backend
