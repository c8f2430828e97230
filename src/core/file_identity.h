// What the system's answer about a file makes of its identity.
#pragma once

#include <sys/stat.h>

#include "core/mapped_file.h"

namespace tern {

// Of what stat() or fstat() has found.
FileIdentity identity_of(const struct stat& found);

}  // namespace tern
