// What a cache takes away to have room, and what it leaves alone: files of others in its directory.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/cache_dir.h"
#include "core/cache_dir_fixture.h"
#include "core/failing_call.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::CacheDirTest;
using test::FailingCall;
using test::FakeDisk;
using test::get;
using test::kHeader;
using test::kLabel;
using test::kRoomy;
using test::put;
using ::testing::HasSubstr;

class CacheDirRoomTest : public CacheDirTest {
 protected:
  // The files of others, each with a content.
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  std::string content(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return in ? std::string(std::istreambuf_iterator<char>(in), {}) : "absent";
  }
  std::uint64_t used() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(path_)) bytes += entry.file_size();
    return bytes;
  }
  // In order, so that the first is the least recently used one.
  void put_all(CacheDir& cache, const std::vector<std::string>& keys, const std::string& payload) {
    int seconds = 1000;
    for (const std::string& key : keys) {
      ASSERT_TRUE(put(cache, key, payload, {key, "v"}).ok());
      const timespec times[2] = {{seconds, 0}, {seconds, 0}};
      ASSERT_EQ(::utimensat(AT_FDCWD, file(key).c_str(), times, 0), 0);
      ++seconds;
    }
  }
  // A writer of that key is killed halfway.
  void leave_part(CacheDir& cache, const std::string& key) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto writer = cache.begin(key, kLabel, 8);
      if (!writer || !writer->write(bytes_of("half"))) ::_exit(1);
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
};

TEST_F(CacheDirRoomTest, FilesOfOthersStayWhoeverWritesEvictsOrLists) {
  CacheDir cache = open(2 * kHeader);
  const std::vector<std::string> names = {"thesis.part", "notes.entry",       "Notes.entry",
                                          "zeros.part",  "tern cache.entry",  ".entry",
                                          "short.part",  "terncache.my.part", "plain"};
  for (const std::string& name : names) {
    write(name, name == "zeros.part"   ? std::string(5000, '\0')
                : name == "short.part" ? "tern"
                                       : "mine");
  }
  write("Tern.entry", "terncach" + std::string(kHeader, 'x'));  // the name is no key
  fs::create_directory(path_ / "dir.entry");
  fs::create_directory(path_ / "dir.part");
  fs::create_symlink(path_ / "plain", path_ / "link.entry");
  const auto before = files();
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(put(cache, key, "", {key, "v"}).ok());
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed->size(), 2u);
  for (const CacheListing& entry : *listed) EXPECT_TRUE(cache.remove(entry).ok());
  EXPECT_EQ(files(), before);
  EXPECT_EQ(content("thesis.part"), "mine");
  EXPECT_EQ(content("notes.entry"), "mine");
  EXPECT_EQ(content("zeros.part"), std::string(5000, '\0'));
}

TEST_F(CacheDirRoomTest, WhatAKilledWriterLeftIsListedAndCanBeRemoved) {
  CacheDir cache = open();
  leave_part(cache, "a");
  auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  const CacheListing part = (*listed)[0];
  EXPECT_TRUE(part.unfinished);
  EXPECT_EQ(part.key, "a");
  EXPECT_EQ(part.label, kLabel);
  EXPECT_EQ(part.bytes, kHeader + 8);
  const auto removed = cache.remove(part);
  EXPECT_TRUE(removed.ok() && *removed);
  EXPECT_EQ(files(), 0);
}

TEST_F(CacheDirRoomTest, WhatIsBeingWrittenIsListedAndStays) {
  CacheDir cache = open();
  auto writer = cache.begin("a", kLabel, 4);
  ASSERT_TRUE(writer.ok());
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_TRUE((*listed)[0].unfinished);
  const auto removed = cache.remove((*listed)[0]);
  EXPECT_TRUE(removed.ok() && !*removed);
  ASSERT_TRUE(put(cache, "b", "of the same label").ok());
  ASSERT_TRUE(writer->write(bytes_of("done")).ok());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(get(cache, "a"), "done");
}

// It is left to the first moment of a writer, before which there is nothing to lose.
TEST_F(CacheDirRoomTest, AnEmptyPartGoes) {
  CacheDir cache = open();
  write("a.part", "");
  ASSERT_TRUE(put(cache, "b", "payload").ok());
  EXPECT_EQ(files(), 1);
}

TEST_F(CacheDirRoomTest, AFullDiskEvictsTheLeastRecentlyUsed) {
  CacheDir cache = open();
  const std::string payload(10'000, 'x');
  put_all(cache, {"a", "b", "c"}, payload);
  const std::uint64_t size = kHeader + payload.size();
  // Room for four, of which the new one and as much beside it are half.
  const FakeDisk disk([&] { return 4 * size - std::min(4 * size, used()); });
  ASSERT_TRUE(put(cache, "d", payload, {"d", "v"}).ok());
  EXPECT_EQ(get(cache, "a"), "absent");
  EXPECT_EQ(get(cache, "b"), payload);
  EXPECT_EQ(get(cache, "c"), payload);
  EXPECT_EQ(get(cache, "d"), payload);
}

TEST_F(CacheDirRoomTest, AFullDiskEvictsNoneInVain) {
  CacheDir cache = open();
  const std::string payload(10'000, 'x');
  put_all(cache, {"a", "b"}, payload);
  const FakeDisk disk([] { return 0; });
  const auto refused = put(cache, "c", std::string(11'000, 'x'), {"c", "v"});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message,
              HasSubstr("the entry needs 15096 bytes, and 15096 are to stay free, the disk has 0"));
  EXPECT_EQ(files(), 2);
}

TEST_F(CacheDirRoomTest, OnAFullDiskAnEntryMakesWayForItsOwnSuccessor) {
  CacheDir cache = open();
  const std::string payload(10'000, 'x');
  put_all(cache, {"a"}, payload);
  const std::uint64_t size = kHeader + payload.size();
  const FakeDisk disk([&] { return 2 * size - std::min(2 * size, used()); });
  ASSERT_TRUE(put(cache, "a", payload, {"a", "v"}).ok());
  EXPECT_EQ(get(cache, "a"), payload);
}

TEST_F(CacheDirRoomTest, WhatAKilledWriterLeftInTheSamePlaceTakesNoRoom) {
  CacheDir cache = open();
  leave_part(cache, "a");
  const std::uint64_t room = 2 * (kHeader + 8);
  const FakeDisk disk([&] { return room - std::min(room, used()); });
  EXPECT_TRUE(put(cache, "a", "whole it").ok());
}

TEST_F(CacheDirRoomTest, EntriesWhoseModelIsGoneAreSaidAndGoFirst) {
  const std::string payload(10'000, 'x');
  CacheDir cache = open(3 * (kHeader + payload.size()));
  const fs::path model = directory_ / "model";
  std::ofstream(model) << "weights";
  ASSERT_TRUE(put(cache, "a", payload, {model.string(), "v"}).ok());
  ASSERT_TRUE(put(cache, "b", payload, {"a CPU", "v"}).ok());
  ASSERT_TRUE(put(cache, "c", payload, {(directory_ / "deleted").string(), "v"}).ok());
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  for (const CacheListing& entry : *listed) EXPECT_EQ(entry.subject_gone, entry.key == "c");
  ASSERT_TRUE(put(cache, "d", payload, {"d", "v"}).ok());
  EXPECT_EQ(get(cache, "c"), "absent");
  EXPECT_EQ(get(cache, "a"), payload);
  EXPECT_EQ(get(cache, "b"), payload);
}

// Of a path longer than a label only the end is known.
TEST_F(CacheDirRoomTest, APathThatWasCutIsNotCalledGone) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a", "", {"/" + std::string(3000, '/') + "model", "v"}).ok());
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_FALSE((*listed)[0].subject_gone);
}

// One that cannot go does not keep others from going.
TEST_F(CacheDirRoomTest, WhatCannotBeEvictedIsPassedOver) {
  const std::string payload(10'000, 'x');
  CacheDir cache = open(2 * (kHeader + payload.size()));
  put_all(cache, {"a", "b"}, payload);
  const FailingCall failing("unlinkat", EIO);
  ASSERT_TRUE(put(cache, "c", payload, {"c", "v"}).ok());
  EXPECT_TRUE(failing.happened());
  EXPECT_EQ(get(cache, "a"), payload);
  EXPECT_EQ(get(cache, "b"), "absent");
}

TEST_F(CacheDirRoomTest, ALookMakesNoDirectory) {
  const auto none = CacheDir::open_existing(path_, kRoomy);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(*none);
  EXPECT_FALSE(fs::exists(path_));
  open();
  const auto some = CacheDir::open_existing(path_, kRoomy);
  EXPECT_TRUE(some.ok() && *some);
  const auto refused = CacheDir::open_existing(directory_ / "above" / "file", kRoomy);
  EXPECT_TRUE(refused.ok() && !*refused);
  std::ofstream(directory_ / "file") << "content";
  EXPECT_FALSE(CacheDir::open_existing(directory_ / "file", kRoomy).ok());
}

}  // namespace
}  // namespace tern
