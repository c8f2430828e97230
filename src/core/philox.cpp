#include "core/philox.h"

#include "core/philox_body.h"

namespace tern {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  const philox::Words found =
      philox::words({counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
  return {found.w0, found.w1, found.w2, found.w3};
}

}  // namespace tern
