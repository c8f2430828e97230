#include "cli/exit_code.h"

namespace tern::cli {

ExitCode exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage: return ExitCode::kUsage;
    case ErrorCode::kIo: return ExitCode::kIo;
    case ErrorCode::kMalformed: return ExitCode::kMalformed;
    case ErrorCode::kUnsupported: return ExitCode::kUnsupported;
    case ErrorCode::kProofFailed: return ExitCode::kProofFailed;
    case ErrorCode::kOutOfMemory: return ExitCode::kOutOfMemory;
    case ErrorCode::kNumeric: return ExitCode::kNumeric;
    case ErrorCode::kContextLength: return ExitCode::kContextLength;
    case ErrorCode::kOverloaded: break;  // an answer to a request; no command ends so
  }
  return ExitCode::kIo;
}

}  // namespace tern::cli
