// Where the rows of queries and keys stand: a checkpoint has the two halves of a head one after the
// other, a GGUF file of a family whose RoPE turns neighbours (arch::HfTensor::neighbour_head) has
// them mixed. 0: rows stay.
#pragma once

#include <cstdint>

namespace tern::convert {

// Of a row of the GGUF file: its place in the checkpoint.
inline std::uint64_t checkpoint_row(std::uint64_t row, std::uint64_t head) {
  if (head == 0) return row;
  const std::uint64_t within = row % head;
  return row - within + within / 2 + (within % 2) * (head / 2);
}

// The other way.
inline std::uint64_t gguf_row(std::uint64_t row, std::uint64_t head) {
  if (head == 0) return row;
  const std::uint64_t within = row % head;
  return row - within + within % (head / 2) * 2 + within / (head / 2);
}

}  // namespace tern::convert
