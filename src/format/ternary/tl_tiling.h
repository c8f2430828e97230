// How TL1 and TL2 cut a matrix into tiles. Chosen per shape when a model is converted, and no part
// of the matrix's bytes.
#pragma once

#include <cstdint>

namespace tern::format {

struct TlTiling {
  std::uint32_t bm = 0;   // rows of a tile
  std::uint32_t bk = 0;   // columns of a tile
  std::uint32_t bmm = 0;  // rows of a block in it

  bool known() const { return bm != 0; }
  bool operator==(const TlTiling&) const = default;
};

}  // namespace tern::format
