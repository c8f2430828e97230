// A cache on a system whose calls fail, and whose directory changes between two of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>

#include "core/atomic_file.h"
#include "core/cache_dir.h"
#include "core/cache_dir_fixture.h"
#include "core/failing_call.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using test::CacheDirTest;
using test::FailingCall;
using test::get;
using test::kRoomy;
using test::put;
using ::testing::HasSubstr;

class CacheDirFaultsTest : public CacheDirTest {
 protected:
  void SetUp() override { ASSERT_TRUE(put(cache_, "a", "payload").ok()); }

  CacheDir cache_ = open();
};

TEST_F(CacheDirFaultsTest, EachCallThatFailsIsNamedAndLeavesNothing) {
  struct Failure {
    const char* call;
    int skipped;
    const char* message;
  };
  for (const auto& [call, skipped, message] :
       {Failure{"openat", 0, "cannot open the cache directory"},  // to lock it
        Failure{"flock", 0, "cannot lock"}, Failure{"openat", 1, "cannot create the cache entry"},
        Failure{"fstatvfs", 0, "cannot ask for free space"}, Failure{"write", 0, "cannot write"},
        Failure{"fsync", 0, "cannot sync"}, Failure{"fsync", 1, "cannot sync the directory"}}) {
    const FailingCall failing(call, EIO, skipped);
    const auto refused = put(cache_, "b", "payload", {"b", "v"});
    ASSERT_FALSE(refused.ok()) << message;
    EXPECT_EQ(refused.error().code, ErrorCode::kIo);
    EXPECT_THAT(refused.error().message, HasSubstr(message));
    EXPECT_FALSE(fs::exists(path_ / "b.part")) << message;
  }
}

TEST_F(CacheDirFaultsTest, WhatCannotBeLookedAtIsAnError) {
  {
    const FailingCall failing("fstat", EIO);
    EXPECT_THAT(get(cache_, "a"), HasSubstr("cannot look at the cache entry"));
  }
  {
    const FailingCall failing("fstat", EIO);
    const auto opened = CacheDir::open(path_, kRoomy);
    ASSERT_FALSE(opened.ok());
    EXPECT_THAT(opened.error().message, HasSubstr("cannot look at the cache directory"));
  }
  fs::remove_all(path_);
  const auto listed = cache_.list();
  ASSERT_FALSE(listed.ok());
  EXPECT_THAT(listed.error().message, HasSubstr("cannot list the directory"));
}

TEST_F(CacheDirFaultsTest, AnInterruptedLockIsTriedAgain) {
  const FailingCall interrupted("flock", EINTR);
  EXPECT_EQ(get(cache_, "a"), "payload");
  EXPECT_TRUE(interrupted.happened());
}

TEST_F(CacheDirFaultsTest, WhatGoesMeanwhileIsGone) {
  {
    const FailingCall gone("openat", ENOENT);
    const auto listed = cache_.list();
    ASSERT_TRUE(listed.ok());
    EXPECT_TRUE(listed->empty());
  }
  const FailingCall gone("unlinkat", ENOENT);
  const auto removed = cache_.remove("a");
  EXPECT_TRUE(removed.ok() && *removed);
}

// Root alone can make another user's file.
TEST_F(CacheDirFaultsTest, AnotherUsersFileIsNoEntry) {
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(file("a").c_str(), 65534, 65534), 0);
    EXPECT_THAT(get(cache_, "a"), HasSubstr("expected a regular file of this user"));
  } else {
    EXPECT_EQ(get(cache_, "a"), "payload");
  }
}

// Between opening its part and locking it, another writer takes the name.
TEST_F(CacheDirFaultsTest, APartThatIsReplacedMeanwhileIsOpenedAnew) {
  const fs::path part = path_ / "b.part";
  const FailingCall replaced("flock", 0, 1, [&] {
    fs::remove(part);
    std::ofstream(part) << "of another writer";
  });
  ASSERT_TRUE(put(cache_, "b", "payload", {"b", "v"}).ok());
  EXPECT_TRUE(replaced.happened());
  EXPECT_EQ(get(cache_, "b"), "payload");
}

TEST_F(CacheDirFaultsTest, AnAtomicFileSaysWhatFailed) {
  struct Failure {
    const char* call;
    int skipped;
    const char* message;
  };
  for (const auto& [call, skipped, message] :
       {Failure{"fsync", 0, "cannot sync"}, Failure{"close", 0, "cannot close"},
        Failure{"open", 0, "cannot open the directory"},
        Failure{"fsync", 1, "cannot sync the directory"}}) {
    auto file = AtomicFile::create(directory_ / "file");
    ASSERT_TRUE(file.ok());
    const FailingCall failing(call, EIO, skipped);
    const auto refused = file->commit();
    ASSERT_FALSE(refused.ok()) << message;
    EXPECT_THAT(refused.error().message, HasSubstr(message));
  }
  auto file = AtomicFile::create(directory_ / "file");
  ASSERT_TRUE(file.ok());
  const FailingCall failing("fstatvfs", EIO);
  const auto refused = file->require_space(1);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("cannot ask for free space"));
}

}  // namespace
}  // namespace tern
