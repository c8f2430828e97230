#include "core/cache_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include "core/cache_dir_fixture.h"
#include "core/fast_hash.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::CacheDirTest;
using test::get;
using test::kHeader;
using test::kLabel;
using test::kRoomy;
using test::put;
using ::testing::HasSubstr;

// Runs `act` in a process of its own; the status that waitpid() gives.
int in_child(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(act());
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(CacheDirTest, GivesBackWhatWasPutForItsUserAlone) {
  CacheDir cache = open();
  EXPECT_EQ(get(cache, "a"), "absent");
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  EXPECT_EQ(get(cache, "a"), "payload");
  EXPECT_EQ(get(cache, "b"), "absent");
  EXPECT_EQ(mode(path_), 0700u);
  EXPECT_EQ(mode(file("a")), 0600u);
  EXPECT_EQ(files(), 1);
  EXPECT_EQ(get(open(), "a"), "payload");  // another start finds it
  ASSERT_TRUE(put(cache, "empty", "").ok());
  EXPECT_EQ(get(cache, "empty"), "");
}

TEST_F(CacheDirTest, ReadsPartsAndNotBeyondTheEnd) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  auto found = cache.find("a");
  ASSERT_TRUE(found.ok() && *found);
  std::string part(3, '?');
  ASSERT_TRUE((*found)->read(3, std::as_writable_bytes(std::span(part))).ok());
  EXPECT_EQ(part, "loa");
  const auto beyond = (*found)->read(5, std::as_writable_bytes(std::span(part)));
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::kIo);
}

TEST_F(CacheDirTest, ListsTheLeastRecentlyUsedFirst) {
  CacheDir cache = open();
  for (const char* key : {"a", "b", "c"}) {
    ASSERT_TRUE(put(cache, key, "payload", {key, "v"}).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(get(cache, "a"), "payload");  // now it is the last one used
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 3u);
  EXPECT_EQ((*listed)[0].key, "b");
  EXPECT_EQ((*listed)[1].key, "c");
  EXPECT_EQ((*listed)[2].key, "a");
  EXPECT_EQ((*listed)[2].label, (CacheLabel{"a", "v"}));
  EXPECT_EQ((*listed)[2].bytes, kHeader + 7);
}

TEST_F(CacheDirTest, ListsAllEntriesOfOneMoment) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "first", "payload").ok());
  for (char key = 'a'; key <= 'z'; ++key) {
    fs::copy_file(file("first"), file(std::string(1, key)));
    fs::last_write_time(file(std::string(1, key)), fs::last_write_time(file("first")));
  }
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed->size(), 27u);
}

TEST_F(CacheDirTest, AnEntryAppearsWholeOnCommit) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a", "former").ok());
  {
    auto writer = cache.begin("a", kLabel, 4);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->write(bytes_of("ne")).ok());
    EXPECT_EQ(get(cache, "a"), "former");
    const auto early = writer->commit();
    ASSERT_FALSE(early.ok());
    EXPECT_THAT(early.error().message, HasSubstr("expected a payload of 4 bytes, found 2"));
    ASSERT_TRUE(writer->write(bytes_of("w!")).ok());
    ASSERT_TRUE(writer->commit().ok());
  }
  EXPECT_EQ(get(cache, "a"), "new!");
  EXPECT_EQ(files(), 1);
}

TEST_F(CacheDirTest, WhatIsNotCommittedLeavesNothing) {
  CacheDir cache = open();
  {
    auto writer = cache.begin("a", kLabel, 4);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->write(bytes_of("part")).ok());
    EXPECT_EQ(files(), 1);
  }
  EXPECT_EQ(files(), 0);
}

TEST_F(CacheDirTest, OneWriterOfAKey) {
  CacheDir cache = open();
  auto first = cache.begin("a", kLabel, 5);
  ASSERT_TRUE(first.ok());
  const auto second = open().begin("a", kLabel, 5);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("another process is writing this entry"));
  EXPECT_TRUE(cache.begin("b", kLabel, 5).ok());  // of another key: at the same time
  ASSERT_TRUE(first->write(bytes_of("first")).ok());
  ASSERT_TRUE(first->commit().ok());
  EXPECT_EQ(get(cache, "a"), "first");
}

TEST_F(CacheDirTest, AKilledWriterLeavesNoEntryAndItsPartGoes) {
  CacheDir cache = open();
  const int status = in_child([&] {
    auto writer = cache.begin("a", kLabel, 8);
    if (!writer || !writer->write(bytes_of("half"))) return 1;
    return ::kill(::getpid(), SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(files(), 1);  // the part
  EXPECT_EQ(get(cache, "a"), "absent");
  ASSERT_TRUE(put(cache, "b", "other").ok());  // any writer tidies up
  EXPECT_EQ(files(), 1);
  ASSERT_TRUE(put(cache, "a", "whole").ok());
  EXPECT_EQ(get(cache, "a"), "whole");
}

// What a killed writer left in the place of an entry does not count beside the one that takes it.
TEST_F(CacheDirTest, APartThatIsTakenOverCountsOnce) {
  CacheDir cache = open(kHeader + 8);
  const int status = in_child([&] {
    auto writer = cache.begin("a", kLabel, 8);
    return writer ? ::kill(::getpid(), SIGKILL) : 1;
  });
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(fs::file_size(path_ / "a.part"), kHeader + 8);
  EXPECT_TRUE(put(cache, "a", "whole it").ok());
}

TEST_F(CacheDirTest, AWriterThatIsDoneLeavesTheNextOneAlone) {
  CacheDir cache = open();
  auto next = [&] {
    auto done = cache.begin("a", kLabel, 0);
    EXPECT_TRUE(done.ok() && done->commit().ok());
    return cache.begin("a", kLabel, 4);
  }();
  ASSERT_TRUE(next.ok());
  ASSERT_TRUE(next->write(bytes_of("next")).ok());
  ASSERT_TRUE(next->commit().ok());
  EXPECT_EQ(get(cache, "a"), "next");
}

TEST_F(CacheDirTest, WhatIsBeingReplacedCannotBeRead) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  const FileDescriptor held(::open(file("a").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  EXPECT_THAT(get(cache, "a"), HasSubstr("another process is replacing or removing this entry"));
}

// Each process finds nothing or a whole entry, whoever wrote it, and the directory stays in order.
TEST_F(CacheDirTest, ProcessesThatRaceSeeWholeEntries) {
  const CacheDir made = open();
  constexpr int kProcesses = 4;
  const std::string payloads[] = {std::string(300'000, 'a'), std::string(300'000, 'b'),
                                  std::string(300'000, 'c'), std::string(300'000, 'd')};
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      CacheDir cache = open();
      for (int round = 0; round < 25; ++round) {
        static_cast<void>(put(cache, "a", payloads[i]));  // refused while another one writes
        const auto found = cache.find("a");
        if (!found && found.error().code != ErrorCode::kIo) ::_exit(2);
        if (!found || !*found) continue;
        std::string read((*found)->size(), '?');
        if (!(*found)->read(0, std::as_writable_bytes(std::span(read)))) ::_exit(3);
        if (std::find(std::begin(payloads), std::end(payloads), read) == std::end(payloads)) {
          ::_exit(4);
        }
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(get(made, "a").size(), 300'000u);
  EXPECT_EQ(files(), 1);
}

TEST_F(CacheDirTest, DamageIsFoundAndReplaced) {
  CacheDir cache = open();
  const auto expect_refused = [&](const char* message, bool known = true) {
    const auto found = cache.find("a");
    ASSERT_FALSE(found.ok()) << message;
    EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(found.error().message, HasSubstr(message));
    EXPECT_EQ(found.error().context, file("a").string());
    const auto listed = cache.list();
    ASSERT_TRUE(listed.ok());
    ASSERT_EQ(listed->size(), known ? 1u : 0u) << message;
    EXPECT_FALSE(known && (*listed)[0].label.has_value());
    ASSERT_TRUE(put(cache, "a", "payload").ok());
    EXPECT_EQ(get(cache, "a"), "payload");
  };
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  fs::resize_file(file("a"), kHeader + 6);
  expect_refused("expected a cache entry of 7 bytes behind its header, found 6");
  fs::resize_file(file("a"), kHeader + 8);
  expect_refused("expected a cache entry of 7 bytes behind its header, found 8");
  fs::resize_file(file("a"), 100);
  expect_refused("expected a cache entry, found 100 bytes");
  fs::resize_file(file("a"), 0);
  expect_refused("expected a cache entry, found 0 bytes");
  patch("a", 0, 'X');
  expect_refused("found another file", false);
  patch("a", 8, 2);
  expect_refused("expected a cache entry of version 1, found 2");
  for (const std::uint64_t offset : {12u, 16u, 20u, 32u, 2000u, 4000u, 4095u}) {
    patch("a", offset, 0x55);
    expect_refused("the header of the cache entry is damaged");
  }
}

TEST_F(CacheDirTest, DamageStaysOutOfTheWayOfOthers) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  patch("a", 0, 'X');
  ASSERT_TRUE(put(cache, "b", "payload").ok());
  EXPECT_EQ(files(), 2);
  const auto removed = cache.remove("a");
  EXPECT_TRUE(removed.ok() && *removed);
  EXPECT_EQ(files(), 1);
}

// A header that lies although its hash is right.
TEST_F(CacheDirTest, LabelsLongerThanTheirPlaceAreRefused) {
  CacheDir cache = open();
  for (const std::size_t length_at : {12u, 16u}) {
    ASSERT_TRUE(put(cache, "a", "payload").ok());
    std::fstream entry(file("a"), std::ios::in | std::ios::out | std::ios::binary);
    std::string header(kHeader, '\0');
    entry.read(header.data(), static_cast<std::streamsize>(header.size()));
    const std::uint32_t length = 1025;
    std::memcpy(header.data() + length_at, &length, sizeof length);
    const std::uint64_t hash = fast_hash(bytes_of(header).first(kHeader - sizeof hash));
    std::memcpy(header.data() + kHeader - sizeof hash, &hash, sizeof hash);
    entry.seekp(0).write(header.data(), static_cast<std::streamsize>(header.size()));
    entry.close();
    EXPECT_THAT(get(cache, "a"), HasSubstr("expected labels of at most 1024 bytes, found 1025"));
    const auto listed = cache.list();
    ASSERT_TRUE(listed.ok());
    EXPECT_FALSE((*listed)[0].label.has_value());
  }
}

TEST_F(CacheDirTest, LinksAreNotFollowed) {
  CacheDir cache = open();
  const fs::path victim = directory_ / "victim";
  std::ofstream(victim) << "untouched";
  fs::create_symlink(victim, file("a"));
  fs::create_symlink(victim, path_ / "a.part");
  EXPECT_FALSE(cache.find("a").ok());
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  EXPECT_EQ(get(cache, "a"), "payload");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(file("a"))));
  EXPECT_EQ(files(), 1);
  fs::create_symlink(victim, file("b"));
  EXPECT_TRUE(cache.remove("b").ok());
  const auto absent = cache.remove("b");
  EXPECT_TRUE(absent.ok() && *absent);
  std::ifstream in(victim);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "untouched");
}

TEST_F(CacheDirTest, WhatIsNoFileNeitherBlocksNorCounts) {
  CacheDir cache = open();
  ASSERT_EQ(::mkfifo(file("a").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((path_ / "b.part").c_str(), 0600), 0);
  const auto found = cache.find("a");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(found.error().message, HasSubstr("expected a regular file of this user"));
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_TRUE(listed->empty());
  ASSERT_TRUE(put(cache, "b", "payload").ok());
  ASSERT_EQ(::mknod((path_ / "d.part").c_str(), S_IFSOCK | 0600, 0), 0);
  ASSERT_TRUE(put(cache, "d", "payload").ok());
  ASSERT_TRUE(put(cache, "a", "payload").ok());
  EXPECT_EQ(get(cache, "a"), "payload");
  fs::create_directory(file("c"));
  EXPECT_FALSE(put(cache, "c", "payload").ok());
  EXPECT_FALSE(fs::exists(path_ / "c.part"));
  EXPECT_FALSE(cache.remove("c").ok());
  fs::create_directory(path_ / "e.part");
  const auto refused = put(cache, "e", "payload");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("cannot create the cache entry"));
}

TEST_F(CacheDirTest, OnlyADirectoryOfThisUserAlone) {
  open();
  fs::permissions(path_, fs::perms(0770));
  const auto shared = CacheDir::open(path_, kRoomy);
  ASSERT_FALSE(shared.ok());
  EXPECT_EQ(shared.error().code, ErrorCode::kIo);
  EXPECT_THAT(shared.error().message, HasSubstr("that no other may write to"));
  fs::permissions(path_, fs::perms(0755));
  EXPECT_TRUE(CacheDir::open(path_, kRoomy).ok());
  // For root another user's directory can be made; for others root's is one.
  fs::path foreign = "/usr";
  if (::geteuid() == 0) {
    foreign = path_;
    ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
  }
  EXPECT_FALSE(CacheDir::open(foreign, kRoomy).ok());
}

TEST_F(CacheDirTest, WhereNothingCanBeWrittenIsAnError) {
  std::ofstream(directory_ / "file") << "content";
  struct Refused {
    fs::path path, named;
    const char* message;
  };
  const fs::path file = directory_ / "file", nowhere = "/proc/tern-cache";
  for (const auto& [path, named, message] :
       {Refused{file, file, "cannot open the cache directory"},
        Refused{file / "cache", file, "cannot make the directory"},
        Refused{nowhere, nowhere, "cannot make the cache directory"}}) {
    const auto cache = CacheDir::open(path, kRoomy);
    ASSERT_FALSE(cache.ok()) << path;
    EXPECT_EQ(cache.error().code, ErrorCode::kIo);
    EXPECT_EQ(cache.error().context, named.string());
    EXPECT_THAT(cache.error().message, HasSubstr(message));
  }
}

TEST_F(CacheDirTest, NamesTheParentThatCannotBeMade) {
  std::ofstream(directory_ / "file") << "content";
  const auto cache = CacheDir::open(directory_ / "file" / "parent" / "cache", kRoomy);
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().context, (directory_ / "file" / "parent").string());
  EXPECT_THAT(cache.error().message, HasSubstr("cannot make the directory"));
}

TEST_F(CacheDirTest, TheLeastRecentlyUsedMakeRoom) {
  const std::string payload(10'000, 'x');
  CacheDir cache = open(3 * (kHeader + payload.size()));
  for (const char* key : {"a", "b", "c"}) {
    ASSERT_TRUE(put(cache, key, payload, {key, "v"}).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(get(cache, "a"), payload);
  ASSERT_TRUE(put(cache, "d", payload, {"d", "v"}).ok());
  EXPECT_EQ(get(cache, "b"), "absent");
  EXPECT_EQ(get(cache, "c"), payload);
  EXPECT_EQ(get(cache, "a"), payload);
  EXPECT_EQ(get(cache, "d"), payload);
  ASSERT_TRUE(put(cache, "d", payload, {"d", "v"}).ok());  // replaces itself, evicts none
  EXPECT_EQ(files(), 3);
}

TEST_F(CacheDirTest, WhatIsInUseStays) {
  const std::string payload(10'000, 'x');
  CacheDir cache = open(2 * (kHeader + payload.size()));
  ASSERT_TRUE(put(cache, "a", payload, {"a", "v"}).ok());
  ASSERT_TRUE(put(cache, "b", payload, {"b", "v"}).ok());
  {
    const auto a = cache.find("a");
    ASSERT_TRUE(a.ok() && *a);
    ASSERT_TRUE(put(cache, "c", payload, {"c", "v"}).ok());  // b goes, although used later
    EXPECT_EQ(get(cache, "b"), "absent");
    const auto c = cache.find("c");
    const auto none = cache.begin("d", {"d", "v"}, payload.size());
    ASSERT_FALSE(none.ok());
    EXPECT_THAT(none.error().message, HasSubstr("is taken by entries in use"));
    const auto removed = cache.remove("a");
    ASSERT_TRUE(removed.ok());
    EXPECT_FALSE(*removed);
  }
  EXPECT_EQ(files(), 2);
  const auto removed = cache.remove("a");
  ASSERT_TRUE(removed.ok());
  EXPECT_TRUE(*removed);
  EXPECT_EQ(get(cache, "a"), "absent");
}

// What is being written counts with its size to come.
TEST_F(CacheDirTest, TwoWritersShareTheBudget) {
  CacheDir cache = open(3 * kHeader + 100);
  const auto first = cache.begin("a", kLabel, kHeader);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(cache.begin("b", kLabel, 101).ok());
  EXPECT_TRUE(cache.begin("b", kLabel, 100).ok());
}

TEST_F(CacheDirTest, AnEntryBeyondTheBudgetIsRefusedAndEvictsNone) {
  CacheDir cache = open(kHeader + 10);
  ASSERT_TRUE(put(cache, "a", "0123456789").ok());
  const auto refused = cache.begin("b", kLabel, 11);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("the entry needs 4107 bytes, the budget is 4106"));
  EXPECT_EQ(get(cache, "a"), "0123456789");
  EXPECT_EQ(files(), 1);
}

TEST_F(CacheDirTest, ANewKeyOfALabelRemovesTheOldOne) {
  CacheDir cache = open();
  ASSERT_TRUE(put(cache, "a1", "old").ok());
  ASSERT_TRUE(put(cache, "b", "other variant", {kLabel.subject, "scalar"}).ok());
  ASSERT_TRUE(put(cache, "a2", "new").ok());
  EXPECT_EQ(get(cache, "a1"), "absent");
  EXPECT_EQ(get(cache, "a2"), "new");
  EXPECT_EQ(get(cache, "b"), "other variant");
}

TEST_F(CacheDirTest, AFullDiskIsAnErrorThatLeavesNothing) {
  open();
  const int status = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);  // the limit then gives an errno, as a full disk does
    const rlimit limit{kHeader + 100, kHeader + 100};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    CacheDir cache = open();
    if (!put(cache, "a", std::string(100, 'x'))) return 2;
    const auto refused = put(cache, "b", std::string(101, 'x'));
    return !refused && refused.error().code == ErrorCode::kIo ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(files(), 1);
  CacheDir cache = open(std::uint64_t{1} << 62);
  const auto refused = cache.begin("c", kLabel, std::uint64_t{1} << 61);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("the disk has"));
  EXPECT_EQ(files(), 1);
}

TEST_F(CacheDirTest, LongLabelsKeepTheirEnds) {
  CacheDir cache = open();
  const std::string path = std::string(3000, '/') + "model.gguf";
  ASSERT_TRUE(put(cache, "a", "payload", {path, "v"}).ok());
  const auto listed = cache.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ((*listed)[0].label->subject, path.substr(path.size() - 1024));
  ASSERT_TRUE(put(cache, "b", "payload", {path, "v"}).ok());
  EXPECT_EQ(get(cache, "a"), "absent");  // the same label: outdated
  ASSERT_TRUE(put(cache, "c", "payload", {"v", path}).ok());
  EXPECT_EQ(get(cache, "c"), "payload");
}

}  // namespace
}  // namespace tern
