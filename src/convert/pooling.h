// How an embedding model's checkpoint pools: modules.json of sentence-transformers and the settings
// of its pooling module.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/decoder_config.h"
#include "convert/made_folder.h"
#include "core/folder.h"
#include "core/result.h"

namespace tern::convert {

// No value where the folder has no modules.json. The files that were read are added to `files`.
// Errors: kMalformed; kUnsupported, by name, for a module or a mode that Tern does not compute.
Result<std::optional<arch::Pooling>> read_pooling(const Folder& folder,
                                                  std::vector<std::string>& files);

// Adds the files that read_pooling() reads, for vectors of `hidden` numbers, which are brought to
// length 1, as Tern brings them.
void add_pooling_files(arch::Pooling pooling, std::uint32_t hidden, FolderFiles& files);

}  // namespace tern::convert
