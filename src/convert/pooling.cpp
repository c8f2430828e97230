#include "convert/pooling.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "arch/json_settings.h"
#include "core/json.h"

namespace tern::convert {

namespace json = boost::json;
using arch::JsonSettings;
using arch::Pooling;

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 16;
constexpr std::string_view kModePrefix = "pooling_mode_";

constexpr std::pair<std::string_view, Pooling> kModes[] = {
    {"pooling_mode_mean_tokens", Pooling::kMean},
    {"pooling_mode_cls_token", Pooling::kCls},
    {"pooling_mode_lasttoken", Pooling::kLast},
};

Result<json::value> read_json(const Folder& folder, const std::string& name,
                              std::vector<std::string>& files) {
  TERN_ASSIGN(const std::string text, read_text(folder, name, kMostBytes));
  files.push_back(name);
  auto value = parse_json(text);
  if (!value) return in_context(folder.where(name), std::move(value.error()));
  return std::move(*value);
}

// The one mode that is on.
Result<Pooling> mode_of(const JsonSettings& settings) {
  std::optional<Pooling> found;
  for (const auto& [key, value] : settings.object()) {
    const std::string_view name(key.data(), key.size());
    if (!name.starts_with(kModePrefix) || value != json::value(true)) continue;
    const auto* const known = std::find_if(std::begin(kModes), std::end(kModes),
                                           [&](const auto& mode) { return mode.first == name; });
    if (known == std::end(kModes)) {
      return settings.unsupported(name, "expected mean, cls or last-token pooling, found another");
    }
    if (found) return settings.unsupported(name, "expected one mode of pooling, found two");
    found = known->second;
  }
  if (found) return *found;
  return settings.malformed("pooling_mode_lasttoken", "expected one mode of pooling, found none");
}

}  // namespace

Result<std::optional<Pooling>> read_pooling(const Folder& folder, std::vector<std::string>& files) {
  const std::string source = folder.where("modules.json");
  if (!folder.has("modules.json")) return std::optional<Pooling>();
  TERN_ASSIGN(const json::value modules, read_json(folder, "modules.json", files));
  if (!modules.is_array()) {
    return Error{ErrorCode::kMalformed, "expected an array of modules", source};
  }
  std::optional<Pooling> pooling;
  for (const json::value& module : modules.get_array()) {
    if (!module.is_object()) {
      return Error{ErrorCode::kMalformed, "expected an object for each module", source};
    }
    const JsonSettings settings(module.get_object(), source);
    TERN_ASSIGN(const std::string type, settings.text("type"));
    if (type.ends_with(".Transformer") || type.ends_with(".Normalize")) continue;
    if (!type.ends_with(".Pooling")) {
      return settings.unsupported(
          "type",
          "expected a transformer, a pooling and a normalisation, found " + settings.shown("type"));
    }
    if (pooling) return settings.unsupported("type", "expected one pooling, found two");
    TERN_ASSIGN(const std::string path, settings.text("path"));
    if (path.find("..") != std::string::npos || path.starts_with('/')) {
      return settings.malformed(
          "path", "expected a folder inside of the checkpoint, found " + settings.shown("path"));
    }
    TERN_ASSIGN(const json::value config, read_json(folder, path + "/config.json", files));
    if (!config.is_object()) {
      return Error{ErrorCode::kMalformed, "expected an object",
                   folder.where(path + "/config.json")};
    }
    TERN_ASSIGN(pooling,
                mode_of(JsonSettings(config.get_object(), folder.where(path + "/config.json"))));
  }
  return pooling;
}

void add_pooling_files(Pooling pooling, std::uint32_t hidden, FolderFiles& files) {
  json::array modules;
  for (const auto& [kind, path] : {std::pair("Transformer", ""), std::pair("Pooling", "1_Pooling"),
                                   std::pair("Normalize", "2_Normalize")}) {
    modules.push_back(json::object{{"idx", modules.size()},
                                   {"name", std::to_string(modules.size())},
                                   {"path", path},
                                   {"type", std::string("sentence_transformers.models.") + kind}});
  }
  json::object settings{{"word_embedding_dimension", hidden}};
  for (const auto& [name, mode] : kModes) {
    settings[json::string_view(name.data(), name.size())] = mode == pooling;
  }
  files["modules.json"] = json::serialize(modules);
  files["1_Pooling/config.json"] = json::serialize(settings);
}

}  // namespace tern::convert
