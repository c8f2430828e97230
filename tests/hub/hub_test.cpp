// Downloads that go on where they were cut, tokens, processes that meet, and the cache.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <thread>

#include "hub/http_client.h"
#include "hub/hub_fixture.h"
#include "hub/part_file.h"
#include "hub/remote_folder.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

fs::path part_of(const TestHub& hub, const char* suffix) {
  for (const std::string& name : hub.blobs()) {
    if (name.ends_with(suffix)) return hub.repo() / "blobs" / name;
  }
  return {};
}

// Leaves a download behind that was stopped after some chunks.
void stop_in_the_middle(TestHub& hub) {
  std::stop_source stop;
  hub.options.connections = 1;
  hub.options.server.stop = stop.get_token();
  hub.progress = [&](const PullProgress& at) {
    if (at.done > 150'000) stop.request_stop();
  };
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.error().to_string(), HasSubstr("interrupted"));
  hub.progress = nullptr;
  hub.options.server.stop = {};
}

// libcurl has something against a handle whose last host had no address.
TEST(HttpClient, AsksAgainForAHostThatIsNotFound) {
  HttpOptions options;
  options.connect_timeout = std::chrono::seconds(2);
  HttpClient client(options);
  HttpRequest request;
  request.url = "http://nowhere.invalid/";
  for (int i = 0; i < 3; ++i) {
    const HttpOutcome outcome = client.get(
        request, [](const HttpHead&) { return Result<bool>(true); },
        [](std::span<const std::byte>) { return Result<bool>(true); }, {});
    ASSERT_TRUE(outcome.failed);
    EXPECT_EQ(outcome.failed->code, ErrorCode::kIo) << outcome.failed->to_string();
    EXPECT_TRUE(outcome.may_retry);
  }
}

TEST(Hub, LaysFilesOutAsOtherToolsDo) {
  TestHub hub("ok");
  const auto pulled = hub.pull();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->commit, kCommit);
  EXPECT_EQ(read_file(hub.repo() / "refs/main"), kCommit);
  const fs::path link = hub.repo() / "snapshots" / kCommit / "sub/notes.txt";
  EXPECT_EQ(fs::read_symlink(link).parent_path(), "../../../blobs");
  EXPECT_EQ(hub.blobs().size(), 4u);
  EXPECT_TRUE(fs::exists(hub.options.cache / ".locks/models--org--repo"));
  const auto again = hub.pull();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->fetched_bytes, 0u);
}

TEST(Hub, GoesOnWhereItWasStopped) {
  TestHub hub("ok");
  stop_in_the_middle(hub);
  ASSERT_FALSE(part_of(hub, ".tern-part").empty());
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_GE(pulled->resumed_bytes, 131'072u);
  EXPECT_EQ(pulled->resumed_bytes + pulled->fetched_bytes, 300'000u);
  EXPECT_TRUE(part_of(hub, ".tern-part").empty());
}

TEST(Hub, BringsAgainWhatWasDamagedMeanwhile) {
  TestHub hub("ok");
  stop_in_the_middle(hub);
  {
    std::fstream part(part_of(hub, ".tern-part"), std::ios::in | std::ios::out);
    part.seekp(70'000);
    part.write("damage", 6);
  }
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->resumed_bytes + pulled->fetched_bytes, 300'000u);
  EXPECT_LT(pulled->resumed_bytes, 131'072u);
}

// A journal that vouches for wrong bytes: the hash of the whole tells.
TEST(Hub, BringsAllAgainWhereThePartsDoNotFit) {
  TestHub hub("ok");
  stop_in_the_middle(hub);
  const fs::path part = part_of(hub, ".tern-part");
  const std::string hash = part.stem();
  const fs::path blob = part.parent_path() / hash;
  fs::remove(part);
  fs::remove(part_of(hub, ".tern-journal"));
  {
    const auto wrong = PartFile::open(blob, hash, 300'000, 64 << 10);
    ASSERT_TRUE(wrong.ok());
    ASSERT_TRUE((*wrong)->write(1, std::vector<std::byte>(64 << 10)).ok());
  }
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_THAT(hub.notices, ElementsAre(HasSubstr("does not fit the rest")));
}

TEST(Hub, WaitsForAnotherProcess) {
  TestHub hub("ok");
  HubCache cache(hub.options.cache);
  const auto hub_of = Hub::create(hub.options);
  const auto revision = (*hub_of)->look_up({"org/repo", "main", "model.gguf"});
  ASSERT_TRUE(revision.ok());
  const auto wanted = select(*revision, {});
  auto lock = cache.lock("org/repo", wanted->front().hash, {}, {});
  ASSERT_TRUE(lock.ok());
  std::jthread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    lock->close();
  });
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_THAT(hub.notices, ElementsAre(HasSubstr("another process is bringing it")));
}

// As `tern rm` may do it, of a blob to which no link leads.
TEST(Hub, BringsAgainWhatAnotherProcessTakesAway) {
  TestHub hub("ok");
  const auto first = hub.pull("hf://org/repo/model.gguf");
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  const fs::path link = first->snapshot / "model.gguf";
  const fs::path blob = fs::canonical(link);
  fs::remove(link);
  auto lock = HubCache(hub.options.cache).lock("org/repo", blob.filename(), {}, {});
  ASSERT_TRUE(lock.ok());
  std::jthread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    fs::remove(blob);
    lock->close();
  });
  PullProgress last;
  hub.progress = [&](const PullProgress& at) { last = at; };
  const auto pulled = hub.pull("hf://org/repo/model.gguf");
  other.join();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(link).size(), 300'000u);
  EXPECT_EQ(last.total, 300'000u);
  EXPECT_EQ(last.done, 300'000u);
}

TEST(Hub, NeedsNoLockWhereAllIsThere) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  fs::remove_all(hub.options.cache / ".locks");
  ASSERT_TRUE(hub.pull().ok());
  EXPECT_FALSE(fs::exists(hub.options.cache / ".locks"));
}

TEST(Hub, CountsTheSameBytesOnce) {
  TestHub hub("same_bytes");
  PullProgress last;
  hub.progress = [&](const PullProgress& at) { last = at; };
  const auto pulled = hub.pull();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(pulled->snapshot / "twin.gguf").size(), 300'000u);
  EXPECT_EQ(last.total, 300'000u + 23 + 8);
  EXPECT_EQ(last.done, last.total);
}

TEST(Hub, SendsNoTokenInPlainTextToOtherMachines) {
  TestHub hub("ok");
  hub.options.server.endpoint = "http://192.0.2.1/";
  ASSERT_TRUE(Hub::create(hub.options).ok());
  EXPECT_THAT(hub.notices, ElementsAre(HasSubstr("the token is not sent")));
}

TEST(Hub, ReadsTheHubAndNotTheProxyBeforeIt) {
  TestHub hub("ok");
  hub.options.server.endpoint = hub_server().tls_endpoint("ok");
  hub.options.server.http.https_proxy = hub_server().proxy();
  hub.options.server.http.ca_file = TERN_SOURCE_DIR "/tests/hub/localhost.pem";
  const auto pulled = hub.pull("hf://org/repo/config.json");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(pulled->snapshot / "config.json"), "{\"model_type\": \"test\"}\n");
  EXPECT_THAT(hub.notices, IsEmpty());
  // The proxy says 200 where the hub does not.
  hub.options.server.endpoint = hub_server().tls_endpoint("no_repo");
  const auto missing = hub.pull();
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().to_string(), HasSubstr("the server answers 404"));
}

TEST(Hub, AsksNoProxyForThisMachine) {
  TestHub hub("ok");
  hub.options.server.http.http_proxy = "http://192.0.2.1:1";
  hub.options.server.http.connect_timeout = std::chrono::milliseconds(100);
  const auto pulled = hub.pull();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_THAT(hub.notices, IsEmpty());
}

TEST(Hub, RefusesTokensThatWouldEndTheirLine) {
  TestHub hub("ok");
  hub.options.server.token = "hf_verysecret\r\nX: y";
  const auto created = Hub::create(hub.options);
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error().code, ErrorCode::kUsage);
  EXPECT_THAT(created.error().to_string(), Not(HasSubstr("secret")));
}

TEST(Hub, AsksNobodyWhenOffline) {
  TestHub hub("ok");
  hub.options.offline = true;
  const auto pulled = hub.pull();
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.error().to_string(), HasSubstr("HF_HUB_OFFLINE"));
}

TEST(Hub, NamesWhatIsThereInsteadOfAFileThatIsNot) {
  TestHub hub("ok");
  const auto pulled = hub.pull("hf://org/repo/other.gguf");
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kUsage);
  EXPECT_THAT(pulled.error().to_string(), HasSubstr("it has config.json, empty.txt, model.gguf"));
}

TEST(HubCache, RemovesAFileAndItsBytesAlone) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  const HubCache cache(hub.options.cache);
  const auto removed = cache.remove({"org/repo", "main", "model.gguf"});
  ASSERT_TRUE(removed.ok()) << removed.error().to_string();
  EXPECT_EQ(removed->files, 1u);
  EXPECT_GE(removed->bytes, 300'000u);
  EXPECT_EQ(hub.blobs().size(), 3u);
  EXPECT_TRUE(fs::exists(hub.repo() / "snapshots" / kCommit / "config.json"));
}

TEST(HubCache, KeepsBytesThatAnotherRevisionNeeds) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  const std::string other(40, 'a');
  fs::create_directories(hub.repo() / "snapshots" / other);
  fs::copy(hub.repo() / "snapshots" / kCommit / "config.json",
           hub.repo() / "snapshots" / other / "config.json", fs::copy_options::copy_symlinks);
  const HubCache cache(hub.options.cache);
  const auto removed = cache.remove({"org/repo", "main", ""});
  ASSERT_TRUE(removed.ok()) << removed.error().to_string();
  EXPECT_EQ(removed->files, 3u);
  EXPECT_EQ(hub.blobs().size(), 1u);
  EXPECT_FALSE(fs::exists(hub.repo() / "refs/main"));
}

// A link that leads to itself cannot be listed, whoever asks.
TEST(HubCache, RemovesNothingWhereItCannotSeeWhatIsNeeded) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  const std::string other(40, 'a');
  fs::create_directory_symlink(other, hub.repo() / "snapshots" / other);
  const HubCache cache(hub.options.cache);
  for (const char* file : {"", "model.gguf"}) {
    const auto removed = cache.remove({"org/repo", "main", file});
    ASSERT_FALSE(removed.ok());
    EXPECT_EQ(removed.error().code, ErrorCode::kIo);
    EXPECT_THAT(removed.error().to_string(), HasSubstr(other + ": cannot list the folder"));
    EXPECT_EQ(hub.blobs().size(), 4u);
    EXPECT_TRUE(fs::exists(hub.repo() / "snapshots" / kCommit / "model.gguf"));
  }
}

TEST(HubCache, ListsTheRestWhereOneCannotBeListed) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  const fs::path broken = hub.options.cache / "models--org--broken" / "snapshots";
  fs::create_directories(broken);
  fs::create_directory_symlink("a", broken / "a");
  const auto listed = HubCache(hub.options.cache).list();
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->repos.size(), 1u);
  EXPECT_EQ(listed->repos.front().repo, "org/repo");
  ASSERT_EQ(listed->unread.size(), 1u);
  EXPECT_EQ(listed->unread.front().code, ErrorCode::kIo);
  EXPECT_THAT(listed->unread.front().to_string(),
              HasSubstr((broken / "a").string() + ": cannot list the folder"));
}

// A part of it, as a reader of weights asks for it.
Result<std::string> read_part(const TestHub& test, std::uint64_t at, std::size_t size) {
  TERN_ASSIGN(const auto hub, Hub::create(test.options));
  TERN_ASSIGN(RemoteRevision revision, hub->look_up({"org/repo", "main", ""}));
  TERN_ASSIGN(const auto folder,
              open_remote_folder(*hub, std::move(revision), {test.directory.path(), 2, 5}));
  TERN_ASSIGN(const auto file, folder->open("config.json"));
  TERN_TRY(file->prepare(at, at + size));
  std::string text(size, '\0');
  TERN_TRY(file->read(at, std::as_writable_bytes(std::span(text))));
  return text;
}

TEST(RemoteFolder, HoldsPartsToTheHashOfGit) {
  const auto right = read_part(TestHub("ok"), 2, 10);
  ASSERT_TRUE(right.ok()) << right.error().to_string();
  EXPECT_EQ(*right, "model_type");
  const auto wrong = read_part(TestHub("small_wrong"), 2, 10);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(wrong.error().to_string(), HasSubstr("have not the hash that the server lists"));
}

// One of many blobs gets a link while the first ones are taken away already.
TEST(HubCache, KeepsBytesThatGetALinkMeanwhile) {
  const test::TemporaryDirectory directory;
  const HubCache cache(directory.path());
  const std::string other(40, 'b');
  constexpr int kBlobs = 300;
  const auto blob = [&](int i) {
    const std::string number = std::to_string(i);
    return cache.blob_path("org/repo", std::string(64 - number.size(), '0') + number);
  };
  bool linked = false;
  for (int round = 0; round < 20 && !linked; ++round) {
    fs::create_directories(blob(0).parent_path());
    for (int i = 0; i < kBlobs; ++i) std::ofstream(blob(i)) << i;
    ASSERT_TRUE(cache.link("org/repo", kCommit, "x", blob(0).filename()).ok());
    std::jthread pull([&, last = blob(kBlobs - 1)] {
      while (fs::exists(blob(0))) std::this_thread::yield();
      const auto lock = cache.lock("org/repo", last.filename(), {}, {});
      linked = lock && fs::exists(last) && cache.link("org/repo", other, "y", last.filename());
    });
    ASSERT_TRUE(cache.remove({"org/repo", kCommit, ""}).ok());
  }
  ASSERT_TRUE(linked);
  EXPECT_TRUE(fs::exists(blob(kBlobs - 1)));
}

TEST(HubCache, RemovesARepositoryOfWhichNothingIsLeft) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  const HubCache cache(hub.options.cache);
  ASSERT_TRUE(cache.remove({"org/repo", "main", ""}).ok());
  EXPECT_FALSE(fs::exists(hub.repo()));
  const auto again = cache.remove({"org/repo", "main", ""});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kUsage);
}

TEST(HubCache, KeepsWhatAnotherProcessBrings) {
  TestHub hub("ok");
  stop_in_the_middle(hub);
  const HubCache cache(hub.options.cache);
  const std::string hash = part_of(hub, ".tern-part").stem();
  {
    const auto lock = cache.lock("org/repo", hash, {}, {});
    ASSERT_TRUE(cache.remove({"org/repo", "main", ""}).ok());
    EXPECT_FALSE(part_of(hub, ".tern-part").empty());
  }
  ASSERT_TRUE(cache.remove({"org/repo", "main", ""}).ok());
  EXPECT_TRUE(part_of(hub, ".tern-part").empty());
}

TEST(HubCache, ListsWhatIsThere) {
  TestHub hub("ok");
  ASSERT_TRUE(hub.pull().ok());
  fs::create_directories(hub.options.cache / "datasets--org--other");
  const auto listed = HubCache(hub.options.cache).list();
  ASSERT_TRUE(listed.ok());
  EXPECT_TRUE(listed->unread.empty());
  ASSERT_EQ(listed->repos.size(), 1u);
  const CachedRepo& repo = listed->repos.front();
  EXPECT_EQ(repo.repo, "org/repo");
  ASSERT_EQ(repo.revisions.size(), 1u);
  const CachedRevision& revision = repo.revisions.front();
  EXPECT_THAT(revision.names, ElementsAre("main"));
  ASSERT_EQ(revision.files.size(), 4u);
  EXPECT_EQ(revision.files[2].path, "model.gguf");
  EXPECT_EQ(revision.files[2].bytes, 300'000u);
}

}  // namespace
}  // namespace tern::hub
