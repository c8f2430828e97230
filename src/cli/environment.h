// The environment, which is read here and nowhere else.
#pragma once

#include <string>

namespace tern::cli {

// Empty where the variable is not set.
std::string variable(const char* name);

}  // namespace tern::cli
