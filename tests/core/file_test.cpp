#include <cleave/core/file.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

namespace {

using namespace cleave::core;
namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    std::string name = (fs::temp_directory_path() / "cleave-core-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~Files() override { fs::remove_all(folder_); }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(Files, WhatIsWrittenIsRead) {
  std::string text(100'000, 'x');
  text[500] = '\0';
  for (const std::string& content : {std::string(), std::string("a\n"), text}) {
    ASSERT_TRUE(write_file(folder_ / "f", content));
    EXPECT_EQ(*read_text(folder_ / "f", 100'000), content);
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, LargerThanTheLimitIsRefused) {
  ASSERT_TRUE(write_file(folder_ / "f", std::string(1000, 'x')));
  EXPECT_TRUE(read_file(folder_ / "f", 1000));
  EXPECT_EQ(read_file(folder_ / "f", 999).error().code, Errc::exhausted);
  EXPECT_EQ(read_file(folder_ / "f", 0).error().code, Errc::exhausted);
}

TEST_F(Files, AFileWhoseSizeIsNotKnownAheadIsReadToItsEnd) {
  const auto status = read_text("/proc/self/status", 1 << 20);  // its size is said to be 0
  ASSERT_TRUE(status);
  EXPECT_NE(status->find("Name:"), std::string::npos);
}

TEST_F(Files, WhatIsNotAFileIsNotRead) {
  EXPECT_EQ(read_file(folder_ / "none", 10).error().code, Errc::not_found);
  EXPECT_EQ(read_file(folder_ / "none" / "deeper", 10).error().code, Errc::not_found);
  EXPECT_EQ(read_file(folder_, 10).error().code, Errc::invalid_argument);
  EXPECT_EQ(read_file("/dev/zero", 10).error().code, Errc::invalid_argument);
  EXPECT_NE(read_file(folder_ / "none", 10).error().message().find("none"), std::string::npos);
}

TEST_F(Files, AReplacedFileKeepsItsModeAndANewOneFollowsTheUmask) {
  ASSERT_TRUE(write_file(folder_ / "f", "one"));
  struct stat info {};
  ::stat((folder_ / "f").c_str(), &info);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(info.st_mode & 07777, 0666 & ~mask);
  fs::permissions(folder_ / "f", fs::perms{0640});
  ASSERT_TRUE(write_file(folder_ / "f", "two"));
  ::stat((folder_ / "f").c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(Files, AFailedWriteLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(write_file(folder_ / "f", "old"));
  // A limit on file sizes makes the write fail half-way, as a full disk does.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{5000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto written = write_file(folder_ / "f", std::string(100'000, 'n'));
  const auto fresh = write_file(folder_ / "g", std::string(100'000, 'n'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::io);
  ASSERT_FALSE(fresh);
  EXPECT_EQ(*read_text(folder_ / "f", 100), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, ADirectoryIsNotReplaced) {
  fs::create_directory(folder_ / "d");
  EXPECT_EQ(write_file(folder_ / "d", "x").error().code, Errc::invalid_argument);
  EXPECT_EQ(write_file(folder_ / "none" / "f", "x").error().code, Errc::not_found);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, ADeviceIsWrittenToNotReplaced) {
  EXPECT_TRUE(write_file("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const auto full = write_file("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::io);
  EXPECT_NE(full.error().message().find("space"), std::string::npos);
}

}  // namespace
