// Carries out the jobs of a transcoding: bytes copied, numbers and trits written in another form,
// into an output with a journal. What an earlier call finished is believed where its bytes still
// have their hash; the trits of the source are certified all the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convert/certificate.h"
#include "convert/output_file.h"
#include "convert/team.h"
#include "convert/trit_source.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/ternary_encoder.h"

namespace tern::convert {

struct TranscodeJob {
  enum class Kind : std::uint8_t {
    kCopy,     // of the source's bytes
    kRows,     // numbers of another type
    kTernary,  // trits in a type of GGUF
    kPacked,   // trits as Hugging Face packs them: a byte has one of each quarter of the rows
    kScale,    // of the matrix of the job before, beside it
  };
  Kind kind = Kind::kCopy;
  std::string name;
  const format::Tensor* source = nullptr;
  format::TensorType type = format::TensorType::kF32;  // in the output; not of kPacked
  float scale = 0.0f;                                  // of kScale
  float offset = 0.0f;                                 // of kRows: taken from each number
  std::uint32_t neighbour_head = 0;                    // of kPacked: see arch::HfTensor
  std::vector<TritSource> trits = {};                  // of kTernary and kPacked: one
  std::vector<format::TernaryEncoder> encoder = {};    // of kTernary: one
  std::uint64_t begin = 0;                             // in the output
  std::uint64_t bytes = 0;
};

class TranscodeJobs {
 public:
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

  // All is borrowed.
  TranscodeJobs(const format::GgufFile& file, const std::vector<TranscodeJob>& jobs,
                OutputFile& output, Team& team, const Progress& progress);

  // Errors: those of the output and of TritSource; kUnsupported and kMalformed, naming the tensor,
  // for numbers that a type cannot hold.
  Result<void> run();

  // After run(): of all trits that were read.
  std::string certificate() const { return certificate_.finish(); }
  std::size_t matrices() const { return certificate_.matrices(); }
  std::uint64_t resumed() const { return resumed_; }
  std::uint64_t rounded_values() const { return rounded_; }
  // The progress of who reads the output again: the second half.
  Progress second_half() const;

 private:
  Result<void> run_job(std::size_t index);
  Result<void> transcode_trits(const TranscodeJob& job, bool finished);
  Result<void> pack_trits(const TranscodeJob& job, bool finished);
  Result<void> copy(const TranscodeJob& job);
  Result<std::uint64_t> encode_rows(const TranscodeJob& job);
  Result<void> encode_row_of(const TranscodeJob& job, std::vector<float>& values, std::byte* out,
                             std::atomic<std::uint64_t>& rounded) const;
  Result<std::uint64_t> hash(const TranscodeJob& job);

  const format::GgufFile& file_;
  const std::vector<TranscodeJob>& jobs_;
  OutputFile& output_;
  Team& team_;
  const Progress& progress_;
  Certificate certificate_;
  std::uint64_t resumed_ = 0;
  std::uint64_t rounded_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace tern::convert
