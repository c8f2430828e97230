// What became of a load: of each request when it was to be sent, was sent, was answered, piece by
// piece. Times are seconds since the load began.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern::diagnose {

struct RequestOutcome {
  std::uint64_t index = 0;
  double intended = 0.0;       // when it was to be sent: what a user would wait from
  double sent = 0.0;           // when it was
  std::vector<double> pieces;  // when each piece of the answer came
  double ended = 0.0;
  std::uint64_t prompt_tokens = 0;  // as the server counts, 0 where it does not
  std::uint64_t output_tokens = 0;  // so, too; else the number of pieces
  // Why there is no whole answer: "connect", "closed", "timeout", "malformed", "http_429",
  // "stream_error"; empty: there is.
  std::string failure;
  std::string message;
};

struct LoadOutcome {
  std::string model;
  std::string unit;  // of prompts' lengths: "tokens", or "words" where the server cuts none
  std::vector<RequestOutcome> requests;  // in the order in which they ended
  bool counted = true;                   // the server counts tokens; else a piece is taken for one
  bool interrupted = false;  // before its end; what was on its way then is not in `requests`
};

}  // namespace tern::diagnose
