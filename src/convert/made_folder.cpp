#include "convert/made_folder.h"

#include <algorithm>
#include <cstring>

namespace tern::convert {
namespace {

constexpr std::string_view kWeights = "model.safetensors";

class MadeFile final : public FileSource {
 public:
  MadeFile(std::string where, const std::string& content, std::uint64_t bytes)
      : where_(std::move(where)), content_(content), bytes_(bytes) {}

  std::uint64_t size() const override { return bytes_; }
  std::string identity() const override { return where_; }
  std::string expected_sha256() const override { return ""; }
  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    if (offset > content_.size() || bytes.size() > content_.size() - offset) {
      return Error{ErrorCode::kIo, "these bytes are not made yet", where_};
    }
    if (!bytes.empty()) std::memcpy(bytes.data(), content_.data() + offset, bytes.size());
    return {};
  }
  Result<void> prepare(std::uint64_t, std::uint64_t) const override { return {}; }
  Result<void> check_unchanged() const override { return {}; }

 private:
  std::string where_;
  const std::string& content_;
  std::uint64_t bytes_;
};

}  // namespace

std::string MadeFolder::where(std::string_view file) const {
  return file.empty() ? where_.string() : (where_ / file).string();
}

bool MadeFolder::has(std::string_view file) const {
  return file == kWeights || files_.contains(file);
}

std::vector<std::string> MadeFolder::files() const {
  std::vector<std::string> names{std::string(kWeights)};
  for (const auto& [name, text] : files_) {
    if (name.find('/') == std::string::npos) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

Result<std::unique_ptr<FileSource>> MadeFolder::open(std::string_view file) const {
  if (file == kWeights && head_ == nullptr) return open_file_source(weights_);
  const auto found = files_.find(file);
  if (file != kWeights && found == files_.end()) {
    return Error{ErrorCode::kIo, "there is no such file", where(file)};
  }
  const std::string& content = file == kWeights ? *head_ : found->second;
  const std::uint64_t bytes = file == kWeights ? bytes_ : content.size();
  return std::unique_ptr<FileSource>(std::make_unique<MadeFile>(where(file), content, bytes));
}

}  // namespace tern::convert
