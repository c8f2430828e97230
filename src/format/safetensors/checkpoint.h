// The tensors of a Hugging Face folder: model.safetensors, or the shards that
// model.safetensors.index.json names. Nothing but names and places is held in memory.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/folder.h"
#include "core/result.h"
#include "format/safetensors/safetensors_file.h"

namespace tern::format {

inline constexpr const char* kSafetensorsIndex = "model.safetensors.index.json";

// The weight_map of an index: (tensor, file), in the order of the names. Errors: kMalformed, with
// `source` as their context.
Result<std::vector<std::pair<std::string, std::string>>> parse_safetensors_index(
    std::string_view text, const std::string& source);

struct CheckpointTensor {
  std::size_t file = 0;  // in files()
  const SafetensorsTensor* tensor = nullptr;
};

class Checkpoint {
 public:
  // Errors: kIo, those of the files, kMalformed where index and files contradict each other, and
  // kUnsupported for folders that hold weights in another form; of pickles with what to do instead.
  static Result<Checkpoint> open(const Folder& folder);

  const std::vector<SafetensorsFile>& files() const { return files_; }
  // By name; the tensors are those of files().
  const std::map<std::string, CheckpointTensor, std::less<>>& tensors() const { return tensors_; }
  const CheckpointTensor* find(std::string_view name) const;

 private:
  Result<void> add_file(const Folder& folder, const std::string& name);
  Result<void> check_index(const std::vector<std::pair<std::string, std::string>>& index,
                           const std::string& source) const;

  std::vector<SafetensorsFile> files_;
  std::map<std::string, CheckpointTensor, std::less<>> tensors_;
};

}  // namespace tern::format
