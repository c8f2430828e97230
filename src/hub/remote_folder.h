// A revision of a repository as a folder to read from, without a copy of it on this machine.
//
// Files come by ranges. What a reader announces by prepare() is brought whole and once, to a file
// without a name, and read from there as often as wanted; so what is read twice is the same twice,
// and the disk holds no more than the largest piece. What was read before must be the same there.
// What the cache has is read from it. A file that the server knows by git's hash is brought whole
// and held to it before its first byte is used.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/folder.h"
#include "core/result.h"
#include "hub/hub.h"

namespace tern::hub {

struct RemoteFolderOptions {
  std::filesystem::path spool;  // a folder with room for the largest piece
  unsigned connections = 4;
  std::uint64_t chunk_bytes = std::uint64_t{8} << 20;
};

// The folder that the reference of the revision names, or all of it. The hub is borrowed. Errors:
// kUsage where it has no such folder.
Result<std::unique_ptr<Folder>> open_remote_folder(const Hub& hub, RemoteRevision revision,
                                                   RemoteFolderOptions options);

}  // namespace tern::hub
