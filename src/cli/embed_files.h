// What `tern embed` reads and writes: texts, and their vectors.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/streams.h"
#include "core/atomic_file.h"
#include "core/result.h"

namespace tern::cli {

// The lines of a file ("-": standard input), or of JSON Lines the texts of its strings and of the
// "text" of its objects. Errors: kIo; kMalformed, naming the line.
Result<std::vector<std::string>> read_texts(const std::string& path, bool json_lines);

// Vectors as JSON Lines, or as an array of NumPy where the path ends with .npy. A file is at its
// place once it is whole.
class VectorWriter {
 public:
  // `path` is empty for standard output. Errors: kIo.
  static Result<VectorWriter> create(Output& output, const std::string& path, std::size_t texts,
                                     std::size_t width);

  Result<void> write(std::size_t text, std::size_t tokens, std::span<const float> vector);
  // Once all vectors are written.
  Result<void> finish();

 private:
  VectorWriter(Output& output, std::optional<AtomicFile> file, bool is_npy)
      : output_(&output), file_(std::move(file)), is_npy_(is_npy) {}

  Result<void> put(std::span<const std::byte> bytes);

  Output* output_;
  std::optional<AtomicFile> file_;
  bool is_npy_;
};

}  // namespace tern::cli
