// Who runs which part of a plan on a team of workers, and where all must have arrived before any
// goes on.
//
// Linears, attention and the head are always divided. Of several rows each worker has some, and
// does for them all that is left. Of a single row every worker does all that is left, on copies of
// its own, since what lies between two matrices takes less time than the wait for another worker;
// the cache alone is divided then, by KV heads.
#pragma once

#include <vector>

#include "backend/plan.h"
#include "core/result.h"

namespace tern::backend {

struct Schedule {
  std::vector<bool> own;       // by slot: every worker has a copy
  std::vector<bool> barriers;  // by operation: whether one stands before it
};

// Whether workers share what the operation does for all rows; every other one goes row by row.
bool is_divided(const Op& op);

// Errors: kUnsupported for a slot that is written by row-local operations and by others.
Result<Schedule> schedule_one_row(const Plan& plan);
Schedule schedule_rows(const Plan& plan);

}  // namespace tern::backend
