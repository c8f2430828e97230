// What `tern` tells its caller by its exit status. docs/cli.md and `tern --help` list the numbers.
#pragma once

#include "core/result.h"

namespace tern::cli {

enum class ExitCode : int {
  kOk = 0,
  kDifferent = 1,  // of `tern diff`, which did its work
  kUsage = 2,
  kIo = 3,
  kMalformed = 4,
  kUnsupported = 5,
  kProofFailed = 6,
  kOutOfMemory = 7,
  kNumeric = 8,
  kContextLength = 9,
  kInterrupted = 130,  // as a shell reports SIGINT
  kReaderGone = 141,   // as a shell reports SIGPIPE
};

ExitCode exit_code(ErrorCode code);

// The list for help texts, a line each.
inline constexpr const char* kExitCodeHelp =
    "Exit status:\n"
    "  0  done (1: files or answers differ)    6  the model fails its self-proof\n"
    "  2  usage                                7  not enough memory\n"
    "  3  a file or stream fails               8  a number overflows\n"
    "  4  malformed file                       9  the prompt exceeds the context\n"
    "  5  not supported                      130  interrupted, 141 the reader of stdout is gone\n";

}  // namespace tern::cli
