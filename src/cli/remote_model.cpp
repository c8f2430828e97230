#include "cli/remote_model.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "cli/hub_access.h"
#include "cli/model_source.h"
#include "core/file_descriptor.h"
#include "format/gguf/gguf_head.h"

namespace tern::cli {
namespace {

// A vocabulary of 128 thousand tokens takes about 7 MB.
constexpr std::uint64_t kFirstBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

// So much of the file that its head is whole. A head that is wrong is wrong in every length.
Result<std::vector<std::byte>> bring_head(const hub::RemoteFile& file) {
  const std::uint64_t most = std::min(file.entry().size, kMostBytes);
  std::vector<std::byte> head;
  for (std::uint64_t wanted = std::min(kFirstBytes, most);; wanted = std::min(wanted * 4, most)) {
    const std::size_t there = head.size();
    head.resize(wanted);
    TERN_TRY(file.read(there, std::span(head).subspan(there)));
    const auto whole = format::check_gguf_head(head);
    if (whole) return head;
    if (wanted == most) return in_context(file.name(), whole.error());
  }
}

}  // namespace

Result<RemoteModel> open_remote_model(const hub::ModelRef& ref) {
  TERN_ASSIGN(const auto hub, open_hub({}));
  TERN_ASSIGN(const hub::RemoteRevision revision, hub->look_up(ref));
  TERN_ASSIGN(const hub::RemoteEntry entry, model_entry(revision));
  const auto file = hub->open(revision, entry);
  TERN_ASSIGN(const std::vector<std::byte> head, bring_head(*file));
  const FileDescriptor memory(::memfd_create("tern-head", MFD_CLOEXEC));
  if (!memory.is_open() || ::ftruncate(memory.get(), static_cast<off_t>(entry.size)) != 0) {
    return io_error(file->name(), "cannot make a place for its head", errno);
  }
  TERN_TRY(write_all_at(memory.get(), 0, head, file->name()));
  TERN_ASSIGN(MappedFile mapping,
              MappedFile::open("/proc/self/fd/" + std::to_string(memory.get())));
  TERN_ASSIGN(format::GgufFile parsed, format::GgufFile::parse(mapping.bytes(), file->name()));
  return RemoteModel{std::move(mapping), std::move(parsed), head.size()};
}

}  // namespace tern::cli
