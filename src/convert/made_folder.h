// The folder of a checkpoint that is being made, for who reads it before it is anywhere: small
// files in memory, the weights as far as they are there.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/folder.h"

namespace tern::convert {

// By their names, in folders where there is a '/'.
using FolderFiles = std::map<std::string, std::string, std::less<>>;

// Immutable; borrows the files.
class MadeFolder final : public Folder {
 public:
  // `where` is the folder that it will be. The weights have `bytes` bytes and begin with `head`,
  // which is borrowed: nothing behind it can be read.
  MadeFolder(std::filesystem::path where, const FolderFiles& files, const std::string& head,
             std::uint64_t bytes)
      : where_(std::move(where)), files_(files), head_(&head), bytes_(bytes) {}
  // The weights are this file.
  MadeFolder(std::filesystem::path where, const FolderFiles& files, std::filesystem::path weights)
      : where_(std::move(where)), files_(files), weights_(std::move(weights)) {}

  std::string name() const override { return where_.filename().string(); }
  std::string where(std::string_view file) const override;
  bool has(std::string_view file) const override;
  std::vector<std::string> files() const override;
  Result<std::unique_ptr<FileSource>> open(std::string_view file) const override;

 private:
  std::filesystem::path where_;
  const FolderFiles& files_;
  const std::string* head_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::filesystem::path weights_;
};

}  // namespace tern::convert
