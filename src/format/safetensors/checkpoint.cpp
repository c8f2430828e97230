#include "format/safetensors/checkpoint.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <set>

#include "core/json.h"
#include "format/gguf/gguf_text.h"

namespace tern::format {
namespace {

namespace json = boost::json;

constexpr const char* kSingle = "model.safetensors";
constexpr std::size_t kMostIndex = std::size_t{64} << 20;
constexpr std::size_t kMostShards = 4096;

Error malformed(std::string message, const std::string& source) {
  return Error{ErrorCode::kMalformed, std::move(message), source};
}

// What a folder without safetensors holds instead, said in a way that helps.
Error no_weights(const Folder& folder) {
  bool shards = false;
  std::string pickle;
  for (const std::string& name : folder.files()) {
    shards = shards || name.ends_with(".safetensors");
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) pickle = name;
  }
  if (shards) {
    return malformed(
        "the folder has shards and no model.safetensors.index.json; without it a "
        "shard that is missing would go unnoticed",
        folder.where(""));
  }
  if (pickle.empty()) {
    return Error{ErrorCode::kIo, "expected model.safetensors or model.safetensors.index.json",
                 folder.where("")};
  }
  return Error{ErrorCode::kUnsupported,
               "the weights are a pickle, which runs code when it is read; where you trust its "
               "author, convert it in a sandbox without network: python3 -c \"import torch; from "
               "safetensors.torch import save_file; w = torch.load('" +
                   pickle +
                   "', map_location='cpu', weights_only=True); save_file({k: "
                   "v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\"",
               folder.where(pickle)};
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && name != "." && name != "..";
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> parse_safetensors_index(
    std::string_view text, const std::string& source) {
  auto parsed = parse_json(text, {.bytes = kMostIndex, .depth = 8});
  if (!parsed) return in_context(source, std::move(parsed.error()));
  const json::object* index = parsed->if_object();
  if (index == nullptr) return malformed("expected an object", source);
  const json::value* map = index->if_contains("weight_map");
  if (map == nullptr) return malformed("expected a weight_map, found none", source);
  if (!map->is_object()) return malformed("expected an object at weight_map", source);
  if (map->get_object().empty()) return malformed("the weight_map is empty", source);
  std::vector<std::pair<std::string, std::string>> entries;
  for (const auto& member : map->get_object()) {
    std::string tensor(member.key().data(), member.key().size());
    const json::string* file = member.value().if_string();
    if (file == nullptr) {
      return malformed("expected the name of a file for " + in_quotes(tensor), source);
    }
    std::string name(file->data(), file->size());
    if (!is_plain_name(name)) {
      return malformed("expected a file of the same folder for " + in_quotes(tensor) + ", found " +
                           in_quotes(name),
                       source);
    }
    entries.emplace_back(std::move(tensor), std::move(name));
  }
  std::ranges::sort(entries);
  return entries;
}

Result<void> Checkpoint::add_file(const Folder& folder, const std::string& name) {
  TERN_ASSIGN(SafetensorsFile file, SafetensorsFile::open(folder, name));
  for (const SafetensorsTensor& tensor : file.tensors()) {
    const auto [place, is_new] = tensors_.try_emplace(tensor.name);
    if (!is_new) {
      return malformed("tensor " + in_quotes(tensor.name) + " stands in " +
                           files_[place->second.file].name() + ", too",
                       file.where());
    }
    place->second = {files_.size(), &tensor};
  }
  files_.push_back(std::move(file));  // its tensors stay where they are in memory
  return {};
}

// Both ways: a name that a file lacks, and a tensor that the index does not know.
Result<void> Checkpoint::check_index(const std::vector<std::pair<std::string, std::string>>& index,
                                     const std::string& source) const {
  std::set<std::string_view> named;
  for (const auto& [tensor, file] : index) {
    const CheckpointTensor* found = find(tensor);
    if (found == nullptr || files_[found->file].name() != file) {
      return malformed("names tensor " + in_quotes(tensor) + " of " + in_quotes(file) +
                           ", which does not hold it",
                       source);
    }
    named.insert(tensor);
  }
  for (const auto& [name, tensor] : tensors_) {
    if (named.contains(name)) continue;
    return malformed("does not name tensor " + in_quotes(name) + ", which " +
                         files_[tensor.file].name() + " holds",
                     source);
  }
  return {};
}

Result<Checkpoint> Checkpoint::open(const Folder& folder) {
  Checkpoint checkpoint;
  const bool has_index = folder.has(kSafetensorsIndex);
  const bool has_single = folder.has(kSingle);
  if (has_index && has_single) {
    return malformed(
        "the folder has model.safetensors and model.safetensors.index.json; which of "
        "them is the model? Move one away",
        folder.where(""));
  }
  if (has_single) {
    TERN_TRY(checkpoint.add_file(folder, kSingle));
    return checkpoint;
  }
  if (!has_index) return no_weights(folder);
  const std::string source = folder.where(kSafetensorsIndex);
  TERN_ASSIGN(const std::string text, read_text(folder, kSafetensorsIndex, kMostIndex));
  TERN_ASSIGN(const auto index, parse_safetensors_index(text, source));
  std::set<std::string> shards;
  for (const auto& [tensor, file] : index) shards.insert(file);
  if (shards.size() > kMostShards) {
    return malformed("expected at most 4096 files, found " + std::to_string(shards.size()), source);
  }
  checkpoint.files_.reserve(shards.size());
  for (const std::string& shard : shards) {
    if (!folder.has(shard)) {
      return Error{ErrorCode::kIo, "names the file " + in_quotes(shard) + ", which is missing",
                   source};
    }
    TERN_TRY(checkpoint.add_file(folder, shard));
  }
  TERN_TRY(checkpoint.check_index(index, source));
  return checkpoint;
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace tern::format
