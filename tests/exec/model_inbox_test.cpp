#include "tests/support/fake_cloud.hpp"
#include "tests/support/fake_executable.hpp"

#include <cleave/core/file.hpp>
#include <cleave/exec/model_folder.hpp>
#include <cleave/exec/model_inbox.hpp>
#include <cleave/exec/push_model.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <random>

namespace cleave::tests {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using core::Seconds;
using Bytes = std::vector<std::byte>;

// As coreutils sees it.
core::Result<std::string> sha256(const fs::path& path) {
  FILE* pipe = ::popen(("sha256sum '" + path.string() + "'").c_str(), "r");
  char text[65] = "";
  const std::size_t count = std::fread(text, 1, 64, pipe);
  ::pclose(pipe);
  if (count != 64)
    return core::fail(Errc::io, "no SHA-256", path.string());
  return std::string(text, 64);
}

class PushTest : public testing::Test {
 protected:
  PushTest() {
    std::string name = (fs::temp_directory_path() / "cleave-push-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    fs::create_directory(folder / "served");
    options.folder = folder / "served";
    options.digest_of = sha256;
    options.accept = [this](const fs::path& path) -> core::Result<core::Fingerprint> {
      ++accepted;
      seen = *core::read_file(path, 1 << 20);
      if (refuse)
        return core::fail(Errc::permission_denied, "not on the trusted list", path.string());
      return core::Fingerprint{7, seen.size()};
    };
  }
  ~PushTest() override { fs::remove_all(folder); }

  void open() {
    inbox = std::make_unique<exec::ModelInbox>(options);
    const auto add = [this](std::string_view method, auto handler) {
      cloud.handlers["models/" + std::string(method)] =
          [this, handler](std::span<const std::byte> message) {
            return (inbox.get()->*handler)(message);
          };
    };
    add(exec::begin_method, &exec::ModelInbox::handle_begin);
    add(exec::append_method, &exec::ModelInbox::handle_append);
    add(exec::commit_method, &exec::ModelInbox::handle_commit);
  }

  fs::path file(std::size_t size, unsigned seed = 1, const std::string& name = "m.pt") {
    std::mt19937 random(seed);
    Bytes bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    EXPECT_TRUE(core::write_file(folder / name, bytes));
    return folder / name;
  }
  core::Result<core::Fingerprint> push(const fs::path& path) {
    exec::PushOptions pushing;
    pushing.piece = 100;
    return exec::push_model(cloud, path, *sha256(path), pushing);
  }
  std::vector<std::string> served() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "served"))
      if (entry.is_regular_file())
        names.push_back(fs::relative(entry.path(), folder / "served").string());
    return names;
  }

  fs::path folder;
  exec::ModelInboxOptions options;
  std::unique_ptr<exec::ModelInbox> inbox;
  core::ManualClock clock;
  FakeCloud cloud{clock, nullptr};
  int accepted = 0;
  bool refuse = false;
  Bytes seen;
};

TEST_F(PushTest, AFileArrivesWholeUnderItsDigest) {
  open();
  for (const std::size_t size : {1u, 99u, 100u, 101u, 1000u}) {
    const fs::path path = file(size, static_cast<unsigned>(size));
    const auto model = push(path);
    ASSERT_TRUE(model) << model.error().message();
    EXPECT_EQ(*model, (core::Fingerprint{7, size}));
    EXPECT_EQ(seen, *core::read_file(path, 1 << 20));
    EXPECT_EQ(*core::read_file(options.folder / (*sha256(path) + ".pt"), 1 << 20), seen);
  }
  EXPECT_EQ(served().size(), 5u);
}

TEST_F(PushTest, APushThatBreaksAtAnyCallGoesOnWhereItWasEvenWithARestartedServer) {
  const fs::path path = file(1000);
  std::size_t calls = 0;
  for (int breaks = 1;; ++breaks) {
    open();
    fs::remove_all(options.folder);
    fs::create_directory(options.folder);
    cloud.calls = 0;
    cloud.on_call = [&](const exec::RemoteCall&) -> core::Result<void> {
      if (cloud.calls == breaks)
        return core::fail(Errc::unavailable, "it broke");
      return {};
    };
    const auto first = push(path);
    calls = static_cast<std::size_t>(cloud.calls);
    if (first)
      break;
    EXPECT_EQ(first.error().code, Errc::unavailable);
    if (breaks % 2 == 0)
      open();  // what the server knew is gone; what it wrote is there
    cloud.on_call = nullptr;
    cloud.calls = 0;
    const auto second = push(path);
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(seen, *core::read_file(path, 1 << 20));
    // begin, what was missing, commit: nothing is sent twice.
    EXPECT_EQ(cloud.calls, breaks == 1 ? 12 : 12 - (breaks - 2)) << breaks;
    EXPECT_EQ(served().size(), 1u);
  }
  EXPECT_EQ(calls, 12u);
}

TEST_F(PushTest, OtherBytesThanTheDigestSaysAreNeverOpened) {
  open();
  const fs::path path = file(500);
  const auto model = exec::push_model(cloud, path, std::string(64, '0'));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Errc::corrupt);
  EXPECT_EQ(accepted, 0);
  EXPECT_TRUE(served().empty());
}

TEST_F(PushTest, WhatTheOperatorsPolicyRefusesIsDeleted) {
  open();
  refuse = true;
  EXPECT_EQ(push(file(500)).error().code, Errc::permission_denied);
  EXPECT_EQ(accepted, 1);
  EXPECT_TRUE(served().empty());
}

TEST_F(PushTest, LimitsHold) {
  options.max_file = 1000;
  options.quota = 2500;
  options.max_under_way = 2;
  open();
  EXPECT_EQ(push(file(1001)).error().code, Errc::exhausted);
  EXPECT_TRUE(push(file(1000, 1)));
  EXPECT_TRUE(push(file(1000, 2)));
  EXPECT_EQ(push(file(501, 3)).error().code, Errc::exhausted);  // the quota
  EXPECT_TRUE(push(file(500, 4)));
  // The operator's own files do not count.
  ASSERT_TRUE(core::write_file(options.folder / "own.pt", Bytes(5000)));
  fs::remove(options.folder / (*sha256(file(500, 4)) + ".pt"));
  EXPECT_TRUE(push(file(499, 5)));
}

TEST_F(PushTest, AnnouncedBytesCountAtOnceAndStaleOnesGiveWay) {
  options.quota = 1000;
  open();
  const std::string a(64, 'a'), b(64, 'b');
  ASSERT_TRUE(inbox->begin({a, 600, ".pt"}));
  ASSERT_TRUE(inbox->append({a, 0, Bytes(300)}));
  EXPECT_EQ(inbox->begin({b, 600, ".pt"}).error().code, Errc::exhausted);
  open();  // nobody has begun `a` since
  ASSERT_TRUE(inbox->begin({b, 800, ".pt"}));
  EXPECT_EQ(served().size(), 1u);  // `a` had to go
  EXPECT_EQ(inbox->append({a, 300, Bytes(1)}).error().code, Errc::not_found);
}

TEST_F(PushTest, BytesBelongWhereTheOthersEnd) {
  open();
  const std::string a(64, 'a');
  EXPECT_EQ(inbox->append({a, 0, Bytes(1)}).error().code, Errc::not_found);
  EXPECT_EQ(inbox->commit(a).error().code, Errc::not_found);
  ASSERT_EQ(*inbox->begin({a, 10, ".onnx"}), 0u);
  EXPECT_EQ(*inbox->append({a, 0, Bytes(4)}), 4u);
  EXPECT_EQ(inbox->append({a, 0, Bytes(4)}).error().code, Errc::mismatch);
  EXPECT_EQ(inbox->append({a, 5, Bytes(4)}).error().code, Errc::mismatch);
  EXPECT_EQ(inbox->append({a, 4, Bytes(7)}).error().code, Errc::exhausted);
  EXPECT_EQ(inbox->commit(a).error().code, Errc::mismatch);
  EXPECT_EQ(*inbox->begin({a, 10, ".onnx"}), 4u);
}

TEST_F(PushTest, NamesThatAreNoDigestNeverReachTheFolder) {
  open();
  for (const std::string& digest :
       {std::string("../../../etc/passwd"), std::string(64, 'A'), std::string(63, 'a'),
        "../" + std::string(61, 'a'), std::string(64, '\0')}) {
    EXPECT_EQ(inbox->handle_begin(exec::write_push_begin({digest, 10, ".pt"})).error().code,
              Errc::corrupt);
    EXPECT_FALSE(inbox->handle_append(exec::write_push_append({digest, 0, Bytes(1)})));
    EXPECT_FALSE(inbox->handle_commit(exec::write_push_commit(digest)));
  }
  EXPECT_FALSE(inbox->handle_begin(exec::write_push_begin({std::string(64, 'a'), 10, "/../x"})));
  EXPECT_TRUE(served().empty());
}

TEST_F(PushTest, ASymbolicLinkInThePlaceOfAPartIsNotFollowed) {
  open();
  const std::string a(64, 'a');
  ASSERT_TRUE(inbox->begin({a, 10, ".pt"}));
  const fs::path victim = file(5, 1, "victim"), part = options.folder / ".incoming" / (a + ".pt");
  fs::remove(part);
  fs::create_symlink(victim, part);
  EXPECT_FALSE(inbox->append({a, 5, Bytes(5)}));
  EXPECT_FALSE(inbox->begin({a, 10, ".pt"}));
  EXPECT_EQ(fs::file_size(victim), 5u);
}

TEST_F(PushTest, ACloudThatTakesNoModelsSaysSo) {
  const auto model = push(file(10));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Errc::not_found);
  EXPECT_NE(model.error().message().find("--allow-push"), std::string::npos);
}

// A file's first byte is the model's number of steps.
class FolderTest : public PushTest {
 protected:
  core::Result<std::shared_ptr<const core::Executable>> load(const fs::path& path) {
    ++loads;
    const auto bytes = core::read_file(path, 100);
    if (!bytes || bytes->empty())
      return core::fail(Errc::corrupt, "no model", path.string());
    return std::make_shared<FakeExecutable>(
        std::vector<Seconds>(static_cast<std::size_t>(bytes->front())), std::int64_t{4});
  }
  void put(const std::string& name, unsigned steps) {
    Bytes bytes;
    if (steps > 0)
      bytes.push_back(static_cast<std::byte>(steps));
    ASSERT_TRUE(core::write_file(options.folder / name, bytes));
  }
  static core::Fingerprint steps(unsigned count) {
    return FakeExecutable(std::vector<Seconds>(count), 4).fingerprint();
  }

  int loads = 0;
  std::shared_ptr<exec::ModelStore> store = std::make_shared<exec::ModelStore>();
  std::unique_ptr<exec::ModelFolder> models;
  void SetUp() override {
    ::chmod(options.folder.c_str(), 0755);
    models = std::make_unique<exec::ModelFolder>(
        options.folder, [this](const fs::path& path) { return load(path); }, store);
  }
};

TEST_F(FolderTest, TheStoreFollowsTheFolder) {
  put("a.pt", 1);
  put("b.onnx", 2);
  put("notes.txt", 3);
  put(".hidden.pt", 3);
  ASSERT_EQ(models->scan()->size(), 2u);
  EXPECT_EQ(store->list(), (std::vector{steps(1), steps(2)}));
  EXPECT_TRUE(models->scan()->empty());
  EXPECT_EQ(loads, 2);  // what has not changed is not opened again

  put("c.pt", 3);
  put("a.pt", 4);
  fs::remove(options.folder / "b.onnx");
  const auto changes = models->scan();
  ASSERT_TRUE(changes);
  ASSERT_EQ(changes->size(), 3u);
  EXPECT_EQ((*changes)[0].removed, steps(1));
  EXPECT_EQ((*changes)[2].removed, steps(2));
  EXPECT_EQ(store->list(), (std::vector{steps(3), steps(4)}));
}

TEST_F(FolderTest, AModelInTwoFilesIsServedUntilBothHaveGone) {
  put("a.pt", 1);
  put("b.pt", 1);
  ASSERT_TRUE(models->scan());
  fs::remove(options.folder / "a.pt");
  ASSERT_TRUE(models->scan());
  EXPECT_EQ(store->list().size(), 1u);
  fs::remove(options.folder / "b.pt");
  ASSERT_TRUE(models->scan());
  EXPECT_TRUE(store->list().empty());
}

TEST_F(FolderTest, AFileThatCannotBeOpenedIsToldOnceAndWhatWasServedGoesOn) {
  put("a.pt", 1);
  ASSERT_TRUE(models->scan());
  put("a.pt", 0);
  const auto changes = models->scan();
  ASSERT_EQ(changes->size(), 1u);
  EXPECT_EQ((*changes)[0].error->code, Errc::corrupt);
  EXPECT_TRUE(models->scan()->empty());
  EXPECT_EQ(store->list(), std::vector{steps(1)});
  put("a.pt", 2);
  ASSERT_EQ(models->scan()->size(), 1u);
  EXPECT_EQ(store->list(), std::vector{steps(2)});
}

TEST_F(FolderTest, AFolderThatOthersMayWriteToIsRefused) {
  put("a.pt", 1);
  ::chmod(options.folder.c_str(), 0777);
  EXPECT_EQ(models->scan().error().code, Errc::permission_denied);
  EXPECT_EQ(loads, 0);
  fs::remove_all(options.folder);
  EXPECT_EQ(models->scan().error().code, Errc::not_found);
}

}  // namespace
}  // namespace cleave::tests
