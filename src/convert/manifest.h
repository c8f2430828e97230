// What a conversion was made from and what it made, with hashes: JSON beside the output.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/folder.h"
#include "core/result.h"

namespace tern::convert {

struct HashedFile {
  std::string name;  // without folders
  std::uint64_t bytes = 0;
  std::string sha256;
};

struct Manifest {
  HashedFile output;
  std::vector<HashedFile> inputs;
  std::string architecture;
  std::string weights;  // the form of the checkpoint
  std::string ternary;
  std::string head;
  std::uint64_t tensors = 0;
  std::uint64_t rounded_values = 0;
};

// Errors: kIo.
Result<void> write_manifest(const std::filesystem::path& path, const Manifest& manifest);

// The hash of a small file. Errors: those of read_text.
Result<HashedFile> hash_file(const Folder& folder, const std::string& name);

}  // namespace tern::convert
