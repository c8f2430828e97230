#include "hub/aliases.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <system_error>

#include "core/atomic_file.h"
#include "core/file_descriptor.h"
#include "core/json.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMostName = 64;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;

Result<std::string> read_text(const fs::path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open() && errno == ENOENT) return std::string("{}");
  if (!fd.is_open()) return io_error(path, "cannot open", errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return io_error(path, "cannot ask for its size", errno);
  std::string text(std::min(static_cast<std::uint64_t>(status.st_size), kMostBytes), '\0');
  TERN_TRY(read_all_at(fd.get(), 0, std::as_writable_bytes(std::span(text)), path));
  return text;
}

Error malformed(const fs::path& file, const std::string& what) {
  return Error{ErrorCode::kMalformed, what + "; mend the file or remove it", file.string()};
}

}  // namespace

bool is_alias(std::string_view name) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";
  return !name.empty() && name.size() <= kMostName && name.front() != '-' && name.front() != '.' &&
         name.find_first_not_of(kPlain) == std::string_view::npos && !name.ends_with(".gguf");
}

const AliasMap& known_aliases() {
  static const AliasMap kKnown{
      {"bitnet-2b-4t", {"microsoft/bitnet-b1.58-2B-4T-gguf", "main", "ggml-model-i2_s.gguf"}},
  };
  return kKnown;
}

Result<Aliases> Aliases::open(fs::path file) {
  Aliases aliases(std::move(file));
  TERN_ASSIGN(const std::string text, read_text(aliases.file_));
  auto value = parse_json(text, {.bytes = kMostBytes, .depth = 2});
  if (!value) return malformed(aliases.file_, value.error().message);
  if (!value->is_object()) return malformed(aliases.file_, "expected an object");
  for (const auto& member : value->get_object()) {
    const std::string name(member.key().data(), member.key().size());
    const json::string* target = member.value().if_string();
    auto ref = parse_model_ref(
        target == nullptr ? std::string_view() : std::string_view(target->data(), target->size()));
    if (!is_alias(name) || !ref) {
      return malformed(aliases.file_, "expected a name and hf://org/repo, found '" + name + "'");
    }
    aliases.own_.emplace(name, std::move(*ref));
  }
  aliases.merge();
  return aliases;
}

void Aliases::merge() {
  all_ = own_;
  all_.insert(known_aliases().begin(), known_aliases().end());
}

const ModelRef* Aliases::find(std::string_view name) const {
  const auto found = all_.find(name);
  return found == all_.end() ? nullptr : &found->second;
}

Result<void> Aliases::set(const std::string& name, const ModelRef& ref) {
  if (!is_alias(name)) {
    return Error{
        ErrorCode::kUsage,
        "expected a name of letters, digits, '-', '_', '.' and ':', at most 64 and without "
        ".gguf at its end",
        name};
  }
  own_.insert_or_assign(name, ref);
  merge();
  return write();
}

Result<bool> Aliases::remove(std::string_view name) {
  const auto found = own_.find(name);
  if (found == own_.end()) return false;
  own_.erase(found);
  merge();
  TERN_TRY(write());
  return true;
}

Result<void> Aliases::write() {
  const fs::path folder = file_.parent_path();
  std::error_code error;
  const bool is_new = fs::create_directories(folder, error);
  if (error) return io_error(folder, "cannot make the folder", error.value());
  if (is_new) fs::permissions(folder, fs::perms::owner_all, error);
  json::object object;
  for (const auto& [name, ref] : own_) object[name] = ref.to_string();
  const std::string text = json::serialize(object) + "\n";
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(file_));
  TERN_TRY(file.restrict_to_owner());
  TERN_TRY(file.write(std::as_bytes(std::span(text))));
  return file.commit();
}

}  // namespace tern::hub
