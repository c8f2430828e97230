// The id of a token: its index in the model's vocabulary.
#pragma once

#include <cstdint>

namespace tern::text {

using TokenId = std::int32_t;

}  // namespace tern::text
