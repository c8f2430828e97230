#include "convert/manifest.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <span>

#include "core/atomic_file.h"
#include "core/sha256.h"
#include "text/utf8.h"

namespace tern::convert {
namespace {

namespace json = boost::json;

// Names of files may be any bytes; JSON is UTF-8.
json::object file_object(const HashedFile& file) {
  return {{"file", text::replace_invalid_utf8(file.name)},
          {"bytes", file.bytes},
          {"sha256", file.sha256}};
}

}  // namespace

Result<void> write_manifest(const std::filesystem::path& path, const Manifest& manifest) {
  json::array inputs;
  for (const HashedFile& file : manifest.inputs) inputs.push_back(file_object(file));
  const json::object object{{"output", file_object(manifest.output)},
                            {"inputs", std::move(inputs)},
                            {"architecture", manifest.architecture},
                            {"weights", manifest.weights},
                            {"type", manifest.ternary},
                            {"head", manifest.head},
                            {"tensors", manifest.tensors},
                            {"rounded_values", manifest.rounded_values}};
  const std::string text = json::serialize(object) + "\n";
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(std::as_bytes(std::span(text))));
  return file.commit();
}

Result<HashedFile> hash_file(const Folder& folder, const std::string& name) {
  constexpr std::size_t kMost = std::size_t{64} << 20;
  TERN_ASSIGN(const std::string text, read_text(folder, name, kMost));
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return HashedFile{std::filesystem::path(name).filename().string(), text.size(), hash.finish()};
}

}  // namespace tern::convert
