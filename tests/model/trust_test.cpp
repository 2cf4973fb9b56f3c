// The trusted list, and the child process that opens what is not on it. The children here are
// scripts that do what a hostile file would make libtorch do; tests/cli has the real one.
#include "lib/model/trust.hpp"

#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>
#include <cleave/model/trust.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using model::TrustedList;
using model::Untrusted;

class Trust : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("cleave-trust-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    const auto saved =
        model::save_module(script("def forward(self, x):\n    return torch.matmul(x, self.a)\n",
                                  {{"a", weights({4, 4})}}),
                           {*model::parse_input_spec("1x4")}, file());
    ASSERT_TRUE(saved) << saved.error().message();
    options_.trust.untrusted = Untrusted::check;
    options_.trust.list = folder_ / "state" / "trusted_models";
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  [[nodiscard]] fs::path file() const { return folder_ / "network.pt"; }
  [[nodiscard]] std::string fingerprint() const { return *model::file_fingerprint(file()); }
  [[nodiscard]] TrustedList list() const { return TrustedList(options_.trust.list); }
  void check_with(const std::string& commands) {
    options_.trust.checker = folder_ / "checker";
    ASSERT_TRUE(core::write_file(options_.trust.checker, "#!/bin/sh\n" + commands + "\n"));
    ASSERT_EQ(::chmod(options_.trust.checker.c_str(), 0755), 0);
  }
  [[nodiscard]] core::Error failure() const {
    const auto model = model::load(file(), options_);
    return model ? core::Error{Errc::internal, "loaded", "", ""} : model.error();
  }
  [[nodiscard]] bool listed() const { return *list().contains(fingerprint()); }

  fs::path folder_;
  model::LoadOptions options_;
};

TEST_F(Trust, AFingerprintIsTheSha256OfTheBytes) {
  // FIPS 180-2, appendix B.1.
  ASSERT_TRUE(core::write_file(folder_ / "abc", "abc"));
  EXPECT_EQ(*model::file_fingerprint(folder_ / "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(model::file_fingerprint(folder_ / "none").error().code, Errc::not_found);
  EXPECT_EQ(model::file_fingerprint(folder_).error().code, Errc::corrupt);
}

TEST_F(Trust, AFileThatTheChildOpenedIsTrustedFromThenOn) {
  check_with("echo ok; echo \"$@\" >&2; [ \"$1\" = check-model ] && cat \"$2\" >/dev/null");
  EXPECT_FALSE(listed());
  EXPECT_TRUE(model::load(file(), options_));
  EXPECT_TRUE(listed());
  check_with("exit 9");
  EXPECT_TRUE(model::load(file(), options_)) << "no child is needed any more";
  // Not for its name's sake.
  ASSERT_TRUE(
      model::save_module(script("def forward(self, x):\n    return torch.matmul(x, self.a)\n",
                                {{"a", weights({4, 4}, 2)}}),
                         {*model::parse_input_spec("1x4")}, file()));
  EXPECT_FALSE(model::load(file(), options_));
}

TEST_F(Trust, TheChildReadsTheFileThatWasCheckedAndIsToldItsInputs) {
  check_with("cmp -s \"$2\" '" + file().string() + "' && [ \"$3 $4 $5\" = '" + file().string() +
             " --input 1x4' ] && echo ok");
  options_.inputs = {*model::parse_input_spec("1x4")};
  const auto model = model::load(file(), options_);
  EXPECT_TRUE(model) << model.error().message();
}

TEST_F(Trust, ACrashOfTheChildIsAnError) {
  check_with("kill -SEGV $$");
  const auto error = failure();
  EXPECT_EQ(error.code, Errc::corrupt) << error.message();
  EXPECT_NE(error.what.find("crashed (Segmentation fault)"), std::string::npos) << error.message();
  EXPECT_FALSE(listed());
  check_with("echo ok; kill -ABRT $$");
  EXPECT_EQ(failure().code, Errc::corrupt) << "a crash behind the verdict counts, too";
  check_with("echo ok; exit 3");
  EXPECT_EQ(failure().code, Errc::corrupt) << "and so does another end than a good one";
  EXPECT_FALSE(listed());
}

TEST_F(Trust, AChildThatHangsIsKilled) {
  check_with("while :; do :; done");
  options_.trust.time = core::Seconds(0.2);
  auto error = failure();
  EXPECT_EQ(error.code, Errc::exhausted) << error.message();
  EXPECT_NE(error.what.find("longer than"), std::string::npos) << error.message();
  // One that holds its tongue and its output.
  check_with("exec tail -f /dev/null");
  error = failure();
  EXPECT_EQ(error.code, Errc::exhausted) << error.message();
  EXPECT_FALSE(listed());
}

TEST_F(Trust, AChildThatWantsAllMemoryIsStopped) {
  // The shell takes what it is given until the limit stops it, in one way or another.
  check_with("x=0123456789abcdef; while :; do x=$x$x; done");
  options_.trust.memory = core::Bytes(256.0 * (1 << 20));
  const auto error = failure();
  EXPECT_TRUE(error.code == Errc::corrupt || error.code == Errc::exhausted) << error.message();
  EXPECT_FALSE(listed());
  check_with(
      "[ \"$(ulimit -v)\" = 262144 ] && [ \"$(ulimit -c)\" = 0 ] && [ \"$(ulimit -f)\" = 0 ] "
      "&& echo ok");
  EXPECT_TRUE(model::load(file(), options_)) << "the limits are what was asked for";
}

TEST_F(Trust, WhatTheChildSaysIsPassedOn) {
  check_with("printf 'error unsupported\\tno such operator\\tlayer.3\\tdo without\\n'");
  auto error = failure();
  EXPECT_EQ(error.code, Errc::unsupported);
  EXPECT_EQ(error.message(), "layer.3: no such operator (do without)");
  for (const char* nonsense :
       {"exit 0", "exit 3", "echo maybe", "echo error", "echo error nonsense", "printf ok", "yes",
        "printf 'error internal'"}) {
    check_with(nonsense);
    error = failure();
    EXPECT_EQ(error.code, Errc::corrupt) << nonsense << ": " << error.message();
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
  }
  options_.trust.checker = folder_ / "nowhere";
  EXPECT_EQ(failure().code, Errc::not_found);
  EXPECT_FALSE(listed());
}

TEST_F(Trust, VerdictsAreReadAsTheyAreWritten) {
  EXPECT_TRUE(model::parse_verdict(model::verdict_of({}), "file"));
  const auto said = model::parse_verdict(
      model::verdict_of(core::fail(Errc::exhausted, "too\tmuch\n", "/proc/self/fd/3", "less")),
      "file");
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, Errc::exhausted);
  EXPECT_EQ(said.error().message(), "file: too much  (less)");
}

TEST_F(Trust, UntrustedFilesCanBeRefusedOutright) {
  options_.trust.untrusted = Untrusted::refuse;
  EXPECT_EQ(failure().code, Errc::permission_denied);
  ASSERT_TRUE(list().add(fingerprint(), TrustedList::How::given, "network.pt"));
  EXPECT_TRUE(model::load(file(), options_));
}

TEST_F(Trust, TheArchiveIsCheckedWhateverTheListSays) {
  auto content = *core::read_file(file(), std::size_t{1} << 24);
  content.resize(content.size() - 100);
  ASSERT_TRUE(core::write_file(file(), content));
  ASSERT_TRUE(list().add(fingerprint(), TrustedList::How::given, "network.pt"));
  EXPECT_EQ(failure().code, Errc::corrupt);
}

TEST_F(Trust, AVerdictHoldsForTheVersionThatGaveIt) {
  const std::string print = fingerprint();
  ASSERT_TRUE(list().add(print, TrustedList::How::checked, "a name\nwith lines"));
  EXPECT_TRUE(listed());
  const auto entries = *list().entries();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].torch_version, model::torch_version());
  EXPECT_EQ(entries[0].name, "a name?with lines");
  ASSERT_TRUE(core::write_file(list().path(), print + " 0.4.1 checked network.pt\n"));
  EXPECT_FALSE(listed());
  ASSERT_TRUE(core::write_file(list().path(), print + " 0.4.1 given network.pt\n"));
  EXPECT_TRUE(listed()) << "an operator's word holds for every version";
}

TEST_F(Trust, AListThatOthersCanWriteToOrThatIsGarbledIsAnError) {
  ASSERT_TRUE(list().add(fingerprint(), TrustedList::How::checked, "network.pt"));
  struct stat status {};
  ASSERT_EQ(::stat(list().path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(::chmod(list().path().c_str(), 0622), 0);
  EXPECT_EQ(failure().code, Errc::corrupt);
  ASSERT_EQ(::chmod(list().path().c_str(), 0600), 0);
  ASSERT_TRUE(core::write_file(list().path(), "# note\n\nnonsense 1.13.0 checked x\n"));
  const auto error = failure();
  EXPECT_EQ(error.code, Errc::corrupt);
  EXPECT_NE(error.what.find("line 3"), std::string::npos);
}

TEST_F(Trust, WhereNoListCanBeKeptAChildOpensTheFileEveryTime) {
  options_.trust.list = "/proc/no/such/place";
  check_with("echo ok");
  EXPECT_TRUE(model::load(file(), options_));
  check_with("exit 3");
  EXPECT_FALSE(model::load(file(), options_));
  options_.trust.untrusted = Untrusted::refuse;
  EXPECT_EQ(failure().code, Errc::permission_denied);
}

TEST_F(Trust, ManyWritersLoseNothing) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer)
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 10; ++i) {
        const std::string digits = std::to_string(1000 + 10 * writer + i);
        EXPECT_TRUE(list().add(std::string(60, 'a') + digits, TrustedList::How::checked, digits));
      }
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(list().entries()->size(), 40u);
}

TEST_F(Trust, TheListLiesWhereTheDesktopStandardPutsIt) {
  ASSERT_EQ(::setenv("XDG_STATE_HOME", "/somewhere", 1), 0);
  EXPECT_EQ(*model::default_trusted_list(), "/somewhere/cleave/trusted_models");
  ASSERT_EQ(::unsetenv("XDG_STATE_HOME"), 0);
}

}  // namespace
}  // namespace cleave::test
