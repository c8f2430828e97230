// The trit-identity certificate: one hash of a model's ternary weights, whatever bytes hold them.
// Two files with the same certificate have the same trits, scales and direction in every linear.
//
// For each matrix: SHA-256 of "tern-trits-1\nNAME\nROWS COLUMNS\nmultiply\n", the scale as an f32
// by which the layer multiplies, little endian, and for each row in order the 64 hexadecimal digits
// of the SHA-256 of its trits, four a byte, code trit + 1, the first in the lowest bits. The
// certificate is the SHA-256 of the lines "NAME HASH\n" in ascending order. Names and the order of
// rows are those of GGUF. Embedding, head and norms are no part of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "convert/output_file.h"
#include "convert/team.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"

namespace tern::convert {

class MatrixCertificate {
 public:
  MatrixCertificate(std::string name, std::uint64_t rows, std::uint64_t columns)
      : name_(std::move(name)), columns_(columns), rows_(rows) {}

  const std::string& name() const { return name_; }
  // Every trit -1, 0 or +1. Threads may add different rows at once, in any order.
  void add_rows(std::uint64_t first, std::uint64_t count, const std::int8_t* trits);
  // When all rows are there. 64 hexadecimal digits, as below.
  std::string finish(float scale) const;

 private:
  std::string name_;
  std::uint64_t columns_;
  std::vector<std::string> rows_;  // their hashes
};

class Certificate {
 public:
  void add(const MatrixCertificate& matrix, float scale);
  std::size_t matrices() const { return hashes_.size(); }
  std::string finish() const;

 private:
  std::map<std::string, std::string> hashes_;  // by the matrix's name
};

// Of a model in GGUF, all its linears ternary, or floats that are. `progress` gets bytes of them.
// Errors: those of read_decoder_config and of TritSource.
Result<Certificate> certify(
    const format::GgufFile& file, Team& team,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = nullptr);

// Reads the written file as a loader reads it, and compares. Errors: kProofFailed where it holds
// other trits or scales than `expected`; nothing is left of it then.
Result<void> check_identity(
    const std::string& expected, OutputFile& output, Team& team,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = nullptr);

// Errors: kProofFailed where they differ; nothing is left of the output then.
Result<void> compare_certificates(const std::string& expected, const std::string& found,
                                  OutputFile& output);

}  // namespace tern::convert
