// How close decode comes to the machine's limit: reading, once a token, every weight that the token
// needs and the keys and values before it, as fast as the cores can read so many bytes.
#pragma once

#include <cstdint>

#include "core/result.h"
#include "model/model.h"

namespace tern::cli {

struct Limit {
  double bytes_per_token = 0.0;   // the mean over the decoded tokens
  double bytes_per_second = 0.0;  // measured now, over a buffer of that size
  double tokens_per_second = 0.0;
};

// For `steps` decoded tokens after `prompt` tokens, each of which reads `weight_bytes`, with keys
// and values of that type. Takes about 50 ms. Errors: kOutOfMemory.
Result<Limit> measure_limit(const model::Model& model, std::uint64_t weight_bytes,
                            format::KvType kv, std::uint64_t prompt, std::uint64_t steps);

}  // namespace tern::cli
