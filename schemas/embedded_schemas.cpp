#include "schemas/embedded_schemas.h"

// The names that the assembler exports.
extern "C" {
extern const char tern_schema_openapi_begin[];       // NOLINT
extern const char tern_schema_openapi_end[];         // NOLINT
extern const char tern_schema_media_v1_begin[];      // NOLINT
extern const char tern_schema_media_v1_end[];        // NOLINT
extern const char tern_schema_telemetry_v1_begin[];  // NOLINT
extern const char tern_schema_telemetry_v1_end[];    // NOLINT
}

namespace tern::schemas {

std::string_view openapi_json() { return {tern_schema_openapi_begin, tern_schema_openapi_end}; }
std::string_view media_v1_json() { return {tern_schema_media_v1_begin, tern_schema_media_v1_end}; }
std::string_view telemetry_v1_json() {
  return {tern_schema_telemetry_v1_begin, tern_schema_telemetry_v1_end};
}

}  // namespace tern::schemas
