// The schemas that are part of the program: the files of schemas/, byte for byte.
#pragma once

#include <string_view>

namespace tern::schemas {

// Each is a JSON document that ends with a newline, valid for the life of the process.
std::string_view openapi_json();
std::string_view media_v1_json();
std::string_view telemetry_v1_json();

}  // namespace tern::schemas
