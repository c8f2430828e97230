// Every way in which a server can fail or lie, against the real client: what can be survived is,
// and what cannot is refused in words of its own, with nothing wrong left on the disk.
#include "hub/faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>

#include "hub/hub_fixture.h"

namespace tern::hub {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string name_of(const testing::TestParamInfo<Fault>& info) { return info.param.name; }

class SurvivedFault : public testing::TestWithParam<Fault> {};

TEST_P(SurvivedFault, FilesArriveWholeAndRight) {
  TestHub hub(GetParam().name);
  const auto pulled = hub.pull();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->files.size(), 4u);
  EXPECT_EQ(read_file(pulled->snapshot / "model.gguf").size(), 300'000u);
  EXPECT_EQ(read_file(pulled->snapshot / "sub/notes.txt"), "A note.\n");
  EXPECT_EQ(read_file(pulled->snapshot / "empty.txt"), "");
  for (const std::string& blob : hub.blobs()) EXPECT_THAT(blob, Not(HasSubstr("tern")));
  std::string told;
  for (const std::string& notice : hub.notices) told += notice + "\n";
  EXPECT_THAT(told, HasSubstr(GetParam().words));
  if (*GetParam().words == '\0') {
    EXPECT_EQ(told, "");
  }
  EXPECT_THAT(told, Not(HasSubstr("secret")));
}

INSTANTIATE_TEST_SUITE_P(Hub, SurvivedFault, testing::ValuesIn(kSurvived), name_of);

class RefusedFault : public testing::TestWithParam<Fault> {};

TEST_P(RefusedFault, IsAnErrorAndNothingWrongStays) {
  TestHub hub(GetParam().name);
  const auto pulled = hub.pull();
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, GetParam().code) << pulled.error().to_string();
  EXPECT_THAT(pulled.error().to_string(), HasSubstr(GetParam().words));
  EXPECT_THAT(pulled.error().to_string(), Not(HasSubstr("secret")));
  for (const std::string& notice : hub.notices) EXPECT_THAT(notice, Not(HasSubstr("secret")));
  // What is there under a hash has it, and nothing was written elsewhere.
  const auto model = hub.repo() / "snapshots/0123456789abcdef0123456789abcdef01234567/model.gguf";
  EXPECT_FALSE(std::filesystem::exists(model));
  for (const auto& entry : std::filesystem::directory_iterator(hub.directory.path())) {
    EXPECT_EQ(entry.path().filename(), "hub");
  }
}

INSTANTIATE_TEST_SUITE_P(Hub, RefusedFault, testing::ValuesIn(kRefused), name_of);

}  // namespace
}  // namespace tern::hub
