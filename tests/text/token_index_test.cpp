#include "text/token_index.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "support/colliding_names.h"

namespace tern::text {
namespace {

double seconds_for(std::uint64_t buckets) {
  test::CollidingNames names(buckets);
  std::vector<std::string> tokens(30'000);
  for (std::string& token : tokens) token = names.next();
  TokenIndex index(tokens.size());
  const std::clock_t start = std::clock();
  for (std::size_t i = 0; i < tokens.size(); ++i) index.insert(tokens[i], static_cast<TokenId>(i));
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// Who makes a vocabulary can choose its tokens: one of 80,000 took 15 seconds to load.
TEST(TokenIndex, TakesAsLongForTokensOfOneHashAsForOthers) {
  EXPECT_LT(seconds_for(std::uint64_t{1} << 32), 10.0 * seconds_for(1) + 0.1);
}

}  // namespace
}  // namespace tern::text
