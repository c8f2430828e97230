#include "backend/cpu/schedule.h"

#include <string>

namespace tern::backend {
namespace {

// What an operation reads and writes. Behind the slots stands the KV cache.
struct Access {
  std::vector<SlotId> reads;
  std::vector<SlotId> writes;
};

Access access_of(const Op& op, SlotId kv_cache) {
  switch (op.code) {
    case OpCode::kEmbed: return {{}, {op.out}};
    case OpCode::kNorm:
    case OpCode::kQuantize:
    case OpCode::kTernaryLinear:
    case OpCode::kRope:
    case OpCode::kRopeNeighbours: return {{op.in}, {op.out}};
    case OpCode::kStoreKv: return {{op.in, op.in2}, {kv_cache}};
    case OpCode::kAttention: return {{op.in, kv_cache}, {op.out}};
    case OpCode::kRelu2Gate:
    case OpCode::kSiluGate:
    case OpCode::kGeluGate: return {{op.in, op.in2}, {op.out}};
    case OpCode::kAdd: return {{op.in, op.out}, {op.out}};
    case OpCode::kHead: return {{op.in}, {}};
  }
  return {};
}

// What happened to a slot since the last barrier, by row-local operations and by others.
struct Touched {
  bool read_by_rows = false;
  bool read_by_parts = false;
  bool written_by_rows = false;
  bool written_by_parts = false;
};

bool is_row_local(const Op& op, bool one_row) {
  return !is_divided(op) && !(one_row && op.code == OpCode::kStoreKv);
}

// A worker may read or overwrite what it wrote or read of its own rows, and no other's.
std::vector<bool> place_barriers(const Plan& plan, const std::vector<bool>& own, bool one_row) {
  std::vector<bool> barriers;
  std::vector<Touched> slots(plan.slots.size() + 1);
  const auto kv_cache = static_cast<SlotId>(plan.slots.size());
  const auto is_own = [&](SlotId slot) { return slot != kv_cache && own[slot]; };
  for (const Op& op : plan.ops) {
    const bool by_rows = is_row_local(op, one_row);
    const Access access = access_of(op, kv_cache);
    bool barrier = false;
    for (const SlotId slot : access.reads) {
      const Touched& t = slots[slot];
      barrier |= !is_own(slot) && (t.written_by_parts || (t.written_by_rows && !by_rows));
    }
    for (const SlotId slot : access.writes) {
      const Touched& t = slots[slot];
      const bool by_others = !by_rows && (t.read_by_rows || t.written_by_rows);
      barrier |= !is_own(slot) && (t.read_by_parts || t.written_by_parts || by_others);
    }
    if (barrier) slots.assign(slots.size(), {});
    barriers.push_back(barrier);
    for (const SlotId slot : access.reads) {
      (by_rows ? slots[slot].read_by_rows : slots[slot].read_by_parts) = true;
    }
    for (const SlotId slot : access.writes) {
      (by_rows ? slots[slot].written_by_rows : slots[slot].written_by_parts) = true;
    }
  }
  return barriers;
}

}  // namespace

bool is_divided(const Op& op) {
  return op.code == OpCode::kTernaryLinear || op.code == OpCode::kAttention ||
         op.code == OpCode::kHead;
}

Result<Schedule> schedule_one_row(const Plan& plan) {
  std::vector<bool> by_rows(plan.slots.size());
  std::vector<bool> by_parts(plan.slots.size());
  for (const Op& op : plan.ops) {
    if (op.code == OpCode::kStoreKv || op.code == OpCode::kHead) continue;  // they write no slot
    (is_row_local(op, true) ? by_rows : by_parts)[op.out] = true;
  }
  for (std::size_t slot = 0; slot < plan.slots.size(); ++slot) {
    if (!by_rows[slot] || !by_parts[slot]) continue;
    return Error{ErrorCode::kUnsupported,
                 "expected a slot that either linears and attention or other operations write, "
                 "found one that both do",
                 "slot " + std::to_string(slot)};
  }
  return Schedule{by_rows, place_barriers(plan, by_rows, true)};
}

Schedule schedule_rows(const Plan& plan) {
  std::vector<bool> none(plan.slots.size());
  std::vector<bool> barriers = place_barriers(plan, none, false);
  return {std::move(none), std::move(barriers)};
}

}  // namespace tern::backend
