#include "tests/device/fake_kernel.hpp"
#include "tests/device/killed.hpp"

#include <cleave/device/cpu_share.hpp>
#include <cleave/device/journal.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>

namespace cleave::device_tests {
namespace {

using device::Journal;

std::string contents(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Setting {
  TemporaryFolder folder;
  fs::path file = folder.path() / "knob", other = folder.path() / "other";
  fs::path state = folder.path() / "state";
  Setting() {
    std::ofstream(file) << "original";
    std::ofstream(other) << "first";
  }
  // As a governor does it.
  static bool change(Journal& journal, const fs::path& path, const std::string& value) {
    return journal.will_write(path, contents(path)) && device::real_files()->write(path, value);
  }
};

TEST(Journal, UndoesChangesLastFirst) {
  Setting s;
  auto journal = Journal::open(s.state, "knob").value();
  ASSERT_TRUE(Setting::change(journal, s.file, "a"));
  ASSERT_TRUE(Setting::change(journal, s.file, "b"));
  ASSERT_TRUE(Setting::change(journal, s.other, "c"));
  EXPECT_EQ(contents(s.file), "b");
  ASSERT_TRUE(journal.undo());
  EXPECT_EQ(contents(s.file), "original");
  EXPECT_EQ(contents(s.other), "first");
}

TEST(Journal, IsUndoneAtTheNextStartAfterAKill) {
  Setting s;
  ASSERT_TRUE(kill_after([&] {
    static auto journal = Journal::open(s.state, "knob").value();
    return Setting::change(journal, s.file, "changed");
  }));
  EXPECT_EQ(contents(s.file), "changed");
  const auto recovery = device::recover(s.state);
  EXPECT_EQ(recovery.undone, std::vector<std::string>{"knob"});
  EXPECT_TRUE(recovery.errors.empty());
  EXPECT_EQ(contents(s.file), "original");
  EXPECT_TRUE(fs::is_empty(s.state));
  EXPECT_TRUE(device::recover(s.state).undone.empty()) << "once is enough";
}

TEST(Journal, IsUndoneByTheNextOwnerToo) {
  Setting s;
  ASSERT_TRUE(kill_after([&] {
    static auto journal = Journal::open(s.state, "knob").value();
    return Setting::change(journal, s.file, "changed");
  }));
  auto journal = Journal::open(s.state, "knob");
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_EQ(contents(s.file), "original");
}

TEST(Journal, OfALiveProcessIsLeftAlone) {
  Setting s;
  auto journal = Journal::open(s.state, "knob").value();
  ASSERT_TRUE(Setting::change(journal, s.file, "mine"));
  const auto recovery = device::recover(s.state);
  EXPECT_EQ(recovery.live, std::vector<std::string>{"knob"});
  EXPECT_EQ(contents(s.file), "mine");
  EXPECT_EQ(Journal::open(s.state, "knob").error().code, Errc::in_use);
}

TEST(Journal, IsNotUndoneByAForkedChild) {
  Setting s;
  auto journal = Journal::open(s.state, "knob").value();
  ASSERT_TRUE(Setting::change(journal, s.file, "mine"));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool nothing = journal.undo().has_value();
    ::_exit(nothing ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(contents(s.file), "mine");
}

TEST(Journal, IgnoresALastLineThatWasCutShort) {
  Setting s;
  fs::create_directory(s.state);
  ::chmod(s.state.c_str(), 0700);
  std::ofstream(s.state / "knob.journal")
      << R"({"owner":"1"})"
      << "\n"
      << R"({"file":")" << s.file.string() << R"(","value":"before"})"
      << "\n"
      << R"({"file":")" << s.other.string() << R"(","val)";
  EXPECT_TRUE(device::recover(s.state).errors.empty());
  EXPECT_EQ(contents(s.file), "before");
  EXPECT_EQ(contents(s.other), "first");
}

TEST(Journal, ThatIsNotUnderstoodIsKeptAndReported) {
  for (const std::string garbage :
       {"garbage\n", "{\"file\":1,\"value\":2}\n", "[]\n",
        "{\"cgroup\":\"/sys/fs/cgroup/system.slice\",\"parent\":\"/sys/fs/cgroup\"}\n"}) {
    Setting s;
    fs::create_directory(s.state);
    ::chmod(s.state.c_str(), 0700);
    std::ofstream(s.state / "knob.journal") << garbage;
    const auto recovery = device::recover(s.state);
    ASSERT_EQ(recovery.errors.size(), 1u) << garbage;
    EXPECT_EQ(recovery.errors[0].code, Errc::corrupt);
    EXPECT_EQ(contents(s.state / "knob.journal"), garbage);
  }
}

TEST(Journal, IsRefusedWhereOthersMayWrite) {
  Setting s;
  fs::create_directory(s.state);
  ::chmod(s.state.c_str(), 0777);
  EXPECT_EQ(Journal::open(s.state, "knob").error().code, Errc::permission_denied);
  EXPECT_EQ(device::recover(s.state).errors.size(), 1u);
  fs::remove(s.state);
  fs::create_symlink(s.folder.path(), s.state);
  EXPECT_FALSE(Journal::open(s.state, "knob"));
}

TEST(Journal, StaysWhenUndoingFails) {
  Setting s;
  {
    auto journal = Journal::open(s.state, "knob").value();
    ASSERT_TRUE(Setting::change(journal, s.file, "changed"));
    fs::remove(s.file);
    fs::create_directory(s.file);
    EXPECT_FALSE(journal.undo());
  }
  EXPECT_EQ(device::recover(s.state).errors.size(), 1u);
  fs::remove(s.file);
  std::ofstream(s.file) << "changed";
  EXPECT_TRUE(device::recover(s.state).errors.empty());
  EXPECT_EQ(contents(s.file), "original");
}

TEST(Journal, HasNothingToRecoverWithoutAFolder) {
  const auto recovery = device::recover("/nonexistent/cleave");
  EXPECT_TRUE(recovery.undone.empty() && recovery.live.empty() && recovery.errors.empty());
}

TEST(Journal, RefusesNamesThatLeaveItsFolder) {
  Setting s;
  for (const std::string name : {"", "../knob", ".hidden", "a/b"})
    EXPECT_EQ(Journal::open(s.state, name).error().code, Errc::invalid_argument) << name;
}

// --- the control groups of this machine ---

class RealCgroup : public testing::Test {
 protected:
  void SetUp() override {
    options_.levels = {{"quarter", 0.25}, {"half", 0.5}};
    options_.state_dir = folder_.path() / "state";
    auto governor = device::CpuShareGovernor::open(options_);
    if (!governor)
      GTEST_SKIP() << governor.error().message();
    // Looking is not enough: a container may show files that cannot be written.
    if (auto applied = (*governor)->apply(0); !applied)
      GTEST_SKIP() << applied.error().message();
    ASSERT_TRUE((*governor)->restore());
  }
  static std::string own_groups() { return contents("/proc/self/cgroup"); }

  TemporaryFolder folder_;
  device::CpuShareOptions options_;
};

TEST_F(RealCgroup, HoldsTheProcessAndLetsItGo) {
  const std::string before = own_groups();
  auto governor = device::CpuShareGovernor::open(options_).value();
  ASSERT_TRUE(governor->apply(1));
  EXPECT_EQ(governor->current().value(), 1);
  EXPECT_NE(own_groups().find(governor->group().filename().string()), std::string::npos);
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(governor->current().value(), 0);
  const fs::path group = governor->group();
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(own_groups(), before);
  EXPECT_FALSE(fs::exists(group));
}

TEST_F(RealCgroup, OfAKilledProcessIsRemovedAtTheNextStart) {
  const auto groups = [&] {
    // Where this machine's groups would be made.
    auto governor = device::CpuShareGovernor::open(options_).value();
    EXPECT_TRUE(governor->apply(0));
    const fs::path home = governor->group().parent_path();
    EXPECT_TRUE(governor->restore());
    return home;
  };
  const fs::path home = groups();
  struct {
    pid_t killed, left;
  } pids = {};
  int tell[2];
  ASSERT_EQ(::pipe(tell), 0);
  ASSERT_TRUE(kill_after([&] {
    static auto governor = device::CpuShareGovernor::open(options_).value();
    if (!governor->apply(1))
      return false;
    // Somebody else is left in the group, and must be moved out of it.
    pids = {::getpid(), ::fork()};
    if (pids.left == 0) {
      while (true) ::pause();
    }
    return ::write(tell[1], &pids, sizeof pids) == sizeof pids;
  }));
  ASSERT_EQ(::read(tell[0], &pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  ::close(tell[0]);
  ::close(tell[1]);
  // Other processes may have groups there.
  const std::string prefix = "cleave-" + std::to_string(pids.killed) + "-";
  const auto its_groups = [&] {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(home))
      if (entry.path().filename().string().starts_with(prefix))
        names.push_back(entry.path().string());
    return names;
  };
  EXPECT_EQ(its_groups().size(), 1u);
  // The forked child that survives shares the lock of its dead parent, so it must go first: it is
  // what a program that forks without executing would leave.
  EXPECT_EQ(device::recover(options_.state_dir).live.size(), 1u);
  ::kill(pids.left, SIGKILL);
  // It is not this process's child; it is gone when its lock is.
  auto recovery = device::recover(options_.state_dir);
  while (!recovery.live.empty()) recovery = device::recover(options_.state_dir);
  EXPECT_TRUE(recovery.errors.empty());
  EXPECT_EQ(recovery.undone.size(), 1u);
  EXPECT_TRUE(its_groups().empty());
}

TEST_F(RealCgroup, MovesALeftoverProgramUp) {
  int tell[2];
  ASSERT_EQ(::pipe(tell), 0);
  ASSERT_TRUE(kill_after([&] {
    static auto governor = device::CpuShareGovernor::open(options_).value();
    if (!governor->apply(1))
      return false;
    const pid_t left = ::fork();
    if (left == 0) {
      // Executing another program drops the lock.
      ::execlp("sleep", "sleep", "1000", nullptr);
      ::_exit(1);
    }
    return ::write(tell[1], &left, sizeof left) == sizeof left;
  }));
  pid_t sleeper = 0;
  ASSERT_EQ(::read(tell[0], &sleeper, sizeof sleeper), static_cast<ssize_t>(sizeof sleeper));
  ::close(tell[0]);
  ::close(tell[1]);
  auto recovery = device::recover(options_.state_dir);
  while (!recovery.live.empty()) recovery = device::recover(options_.state_dir);
  EXPECT_TRUE(recovery.errors.empty());
  EXPECT_EQ(contents("/proc/" + std::to_string(sleeper) + "/cgroup"), own_groups());
  ::kill(sleeper, SIGKILL);
}

}  // namespace
}  // namespace cleave::device_tests
