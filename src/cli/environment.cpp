#include "cli/environment.h"

#include <cstdlib>

namespace tern::cli {

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT: nobody sets variables meanwhile
  return value == nullptr ? "" : value;
}

}  // namespace tern::cli
