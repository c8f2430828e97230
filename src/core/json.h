// JSON of files that nobody vouches for: bounded in size and depth, every name of an object once,
// and every number one that a double holds (Boost.JSON alone keeps the last of equal names, makes
// an infinity of 1e400, and says nothing).
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string_view>

#include "core/result.h"

namespace tern {

struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;
  std::size_t depth = 16;
};

// Errors: kMalformed for what is no JSON (with the offset), names an object's member twice, has
// a number beyond a double, or is followed by more than spaces; kUnsupported for what exceeds a
// limit.
Result<boost::json::value> parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace tern
