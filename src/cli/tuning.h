// The tuning of this machine as the command line uses it: where it is kept, when it is measured,
// and what is said of it.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "backend/cpu/tuning.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "diagnose/measure/tune_report.h"
#include "format/gguf/gguf_file.h"

namespace tern::cli {

// What a tuning is measured for. Another machine, tier or number of threads has one of its own.
struct TuneTarget {
  const kernels::KernelTable* tier;
  std::uint32_t threads;  // 0: as many as decode the model fastest
};

struct MachineTuning {
  std::uint32_t threads;     // to use
  std::string threads_from;  // "asked", "tuned", or "cores": one for each that may be used
  backend::Tuning plans;
  std::string outcome;  // "off", "none", "loaded", "measured", or why what is kept is not used
};

// The threads and the plans for the file's matrices, as the option says. What is kept but cannot be
// used is a line on standard error and no more, and so is a number of threads that was asked for
// where another was found. Where `stop` was requested nothing is measured to its end, and the
// caller is to end, too. Errors: those of measure_tuning.
Result<MachineTuning> tuning_for(TuneUse use, const TuneTarget& target,
                                 const format::GgufFile& file, std::stop_token stop,
                                 Progress& progress);

// Measures the number of threads, where none is given, and the file's shapes, and keeps what was
// found, beside what is kept of other shapes; where that fails, it is a line on standard error. No
// value where `stop` was requested. Errors: those of diagnose::tune; kUnsupported where the file
// has no ternary matrices.
Result<std::optional<diagnose::TuneReport>> measure_tuning(const TuneTarget& target,
                                                           const format::GgufFile& file,
                                                           std::stop_token stop,
                                                           Progress& progress);

}  // namespace tern::cli
