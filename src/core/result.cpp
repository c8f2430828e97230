#include "core/result.h"

namespace tern {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage: return "usage";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kMalformed: return "malformed";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kProofFailed: return "proof_failed";
    case ErrorCode::kOutOfMemory: return "out_of_memory";
    case ErrorCode::kNumeric: return "numeric";
    case ErrorCode::kContextLength: return "context_length";
    case ErrorCode::kOverloaded: return "overloaded";
  }
  return "unknown";
}

std::string Error::to_string() const {
  return context.empty() ? message : context + ": " + message;
}

Error in_context(std::string_view where, Error error) {
  error.context =
      error.context.empty() ? std::string(where) : std::string(where) + ": " + error.context;
  return error;
}

}  // namespace tern
