// tern schema: the schemas that clients and monitoring are built on, as they are in the program.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>

#include "cli/command.h"
#include "schemas/embedded_schemas.h"

namespace tern::cli {
namespace {

struct Schema {
  const char* name;
  std::string_view (*json)();
  const char* about;
};

constexpr std::array kSchemas{
    Schema{"openapi", schemas::openapi_json, "the HTTP API (OpenAPI 3.1)"},
    Schema{"media-v1", schemas::media_v1_json, "media in and out (JSON Schema)"},
    Schema{"telemetry-v1", schemas::telemetry_v1_json, "events and metrics (JSON Schema)"},
};

std::string names() {
  std::string list;
  for (const Schema& schema : kSchemas)
    list += fmt::format("{:<14}{}\n", schema.name, schema.about);
  return list;
}

Result<ExitCode> print(const std::string& name, Output& output) {
  std::string known;
  for (const Schema& schema : kSchemas) {
    if (schema.name == name) {
      TERN_TRY(output.write(schema.json()));
      return ExitCode::kOk;
    }
    known += (known.empty() ? "" : ", ") + std::string(schema.name);
  }
  return Error{ErrorCode::kUsage, "expected one of " + known + ", found \"" + name + "\"",
               "schema"};
}

}  // namespace

Command add_schema_command(CLI::App& tern) {
  const auto name = std::make_shared<std::string>();
  CLI::App* parser = tern.add_subcommand(
      "schema", "Print a schema: of the HTTP API, of media, of telemetry.\n" + names());
  parser->footer(
      "Examples:\n"
      "  tern schema openapi > openapi.json\n"
      "  tern schema telemetry-v1\n");
  parser->add_option("NAME", *name, "openapi, media-v1 or telemetry-v1")->type_name("")->required();
  return {parser, [name](Output& output) { return print(*name, output); }};
}

}  // namespace tern::cli
