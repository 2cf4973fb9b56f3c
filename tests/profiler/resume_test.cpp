// A profile that is interrupted and gone on with, and one that has little time.
#include "profiler/checkpoint.hpp"
#include "tests/profiler/profiler_fixture.hpp"

#include <cleave/core/file.hpp>

#include <unistd.h>

#include <cstring>
#include <fstream>

namespace cleave::tests {
namespace {

namespace fs = std::filesystem;
using core::Seconds;

class ResumeTest : public ProfilerTest {
 protected:
  ResumeTest() {
    std::string name = (fs::temp_directory_path() / "cleave-resume-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    options.partial = folder_ / "p.partial";
    cloud.on_call = [this](const exec::RemoteCall& call) -> core::Result<void> {
      measured_in_the_cloud += call.method == profiler::measure_method ? 1 : 0;
      if (--calls_left == 0)
        stop.request_stop();
      return {};
    };
  }
  ~ResumeTest() override { fs::remove_all(folder_); }

  core::Result<table::Profile> profile() {
    stop = {};
    options.stop = stop.get_token();
    return profiler::profile(model, model->example(), *knobs, cloud, options);
  }
  // The clock counts on meanwhile, so times differ in their last bits.
  static void expect_same(const table::Profile& a, const table::Profile& b) {
    EXPECT_EQ(a.cuts, b.cuts);
    for (const core::HostIndex host : {core::edge_host, core::cloud_host}) {
      ASSERT_EQ(a.hosts[host].settings.size(), b.hosts[host].settings.size());
      for (std::size_t s = 0; s < a.hosts[host].settings.size(); ++s) {
        const table::Setting &x = a.hosts[host].settings[s], &y = b.hosts[host].settings[s];
        EXPECT_EQ(x.levels, y.levels);
        EXPECT_EQ(x.whole.samples, y.whole.samples);
        EXPECT_EQ(x.exchange.samples, y.exchange.samples);
        EXPECT_NEAR(x.whole.mean.count(), y.whole.mean.count(), 1e-9);
        for (std::size_t i = 0; i < x.steps.size(); ++i) {
          EXPECT_EQ(x.steps[i].samples, y.steps[i].samples);
          EXPECT_NEAR(x.steps[i].mean.count(), y.steps[i].mean.count(), 1e-9);
        }
      }
    }
    EXPECT_NEAR(a.link.round_trip.count(), b.link.round_trip.count(), 1e-9);
    EXPECT_NEAR(a.link.overhead.count(), b.link.overhead.count(), 1e-9);
    EXPECT_NEAR(a.link.up / b.link.up, 1, 1e-6);
    EXPECT_EQ(a.error.configurations, b.error.configurations);
    EXPECT_NEAR(a.error.median_relative, b.error.median_relative, 1e-6);
  }

  fs::path folder_;
  std::stop_source stop;
  int calls_left = 0;
  int measured_in_the_cloud = 0;
};

TEST_F(ResumeTest, WhereverItIsInterruptedTheProfileIsTheSameAndNothingIsMeasuredTwice) {
  const auto whole = profile();
  ASSERT_TRUE(whole) << whole.error().message();
  const int calls = cloud.calls;
  EXPECT_EQ(measured_in_the_cloud, 3);
  for (int interrupted = 2; interrupted < calls; interrupted += 9) {
    fs::remove(options.partial);
    options.resume = false;
    calls_left = interrupted;
    measured_in_the_cloud = 0;
    const int before = cloud.calls;
    const auto first = profile();
    ASSERT_FALSE(first) << interrupted;
    EXPECT_EQ(first.error().code, core::Errc::cancelled);
    const bool kept = fs::exists(options.partial);
    EXPECT_TRUE(kept || interrupted < 4) << "after the cloud has timed itself once";
    options.resume = kept;
    calls_left = 0;
    const auto second = profile();
    ASSERT_TRUE(second) << second.error().message();
    expect_same(*second, *whole);
    EXPECT_LE(measured_in_the_cloud, 3);
    // Again: the machine is asked for, and the stretch or configuration at hand or the link.
    EXPECT_LE(cloud.calls - before, calls + 95) << interrupted;
  }
}

TEST_F(ResumeTest, InterruptedThriceItStillEndsWithAllPasses) {
  options.resume = false;
  for (int run = 0; run < 3; ++run) {
    calls_left = 25;
    ASSERT_FALSE(profile());
    options.resume = true;
  }
  calls_left = 0;
  const auto last = profile();
  ASSERT_TRUE(last) << last.error().message();
  for (const table::Setting& setting : last->hosts[core::edge_host].settings)
    EXPECT_GE(setting.whole.samples, 20u);
}

TEST_F(ResumeTest, OtherOptionsModelsAndMachinesAreRefused) {
  calls_left = 20;
  ASSERT_FALSE(profile());
  options.resume = true;
  calls_left = 0;
  const auto code = [&] { return profile().error().code; };
  options.edge.min_passes = 30;
  EXPECT_EQ(code(), core::Errc::mismatch);
  options.edge.min_passes = 20;
  options.codecs.pop_back();
  EXPECT_EQ(code(), core::Errc::mismatch);
  options.codecs.push_back("int2");
  options.edge.made_on.processor = "another";
  EXPECT_EQ(code(), core::Errc::mismatch);
  options.edge.made_on.processor = "a small processor";
  options.edge.board = "another board";
  EXPECT_EQ(code(), core::Errc::mismatch);
  options.edge.board = "";
  options.edge.slice = [](std::span<const core::LevelIndex>) {
    return device::ShareSlice{core::milliseconds(1), core::milliseconds(20)};
  };
  EXPECT_EQ(code(), core::Errc::mismatch) << "the same levels under a quota";
  options.edge.slice = nullptr;
  const auto same_knobs = std::move(knobs);
  knobs = thread_knob({1, 3}, [](int) { return core::Result<void>(); });
  EXPECT_EQ(code(), core::Errc::mismatch);
  knobs = thread_knob({1, 2}, [](int) { return core::Result<void>(); });
  const std::vector<profiler::Sample> samples{{model->example(), 1}};
  options.samples = samples;
  EXPECT_EQ(code(), core::Errc::mismatch);
  options.samples = {};
  const auto same = model;
  model = std::make_shared<FakeExecutable>(times, std::int64_t{1000}, &clock, 2);
  EXPECT_EQ(code(), core::Errc::mismatch);
  model = same;
  options.partial = folder_ / "absent";
  EXPECT_EQ(code(), core::Errc::not_found);
  options.partial = folder_ / "p.partial";
  EXPECT_TRUE(profile());
}

TEST_F(ResumeTest, TwoProfilesAreNotMeasuredIntoOneFile) {
  fs::path lock_file = options.partial;
  lock_file += ".lock";
  {
    const auto held = profiler::lock_partial(options.partial);
    ASSERT_TRUE(held) << held.error().message();
    const auto refused = profile();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, core::Errc::in_use) << refused.error().message();
    EXPECT_TRUE(fs::exists(lock_file)) << "whose it is not, removes it not";
    EXPECT_FALSE(fs::exists(options.partial));
  }
  EXPECT_FALSE(fs::exists(lock_file));
  EXPECT_TRUE(profile());
  EXPECT_FALSE(fs::exists(lock_file));
}

TEST_F(ResumeTest, WhatCannotBeTransferredIsRefusedBeforeAnythingIsMeasured) {
  auto source = std::make_shared<table::Profile>();
  source->model.structure = model->fingerprint().structure ^ 1;
  options.edge.transfer_from = source;
  options.edge.probes = 2;
  calls_left = 0;
  EXPECT_EQ(profile().error().code, core::Errc::mismatch);
  EXPECT_FALSE(fs::exists(options.partial));
}

TEST_F(ResumeTest, ADamagedFileIsSaidToBeDamaged) {
  calls_left = 20;
  ASSERT_FALSE(profile());
  const auto bytes = core::read_file(options.partial, 1 << 24);
  ASSERT_TRUE(bytes);
  const std::uint64_t key = [&] {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes->data() + 8, sizeof value);
    return value;
  }();
  const auto load = [&](std::span<const std::byte> damaged) {
    const fs::path path = folder_ / "d";
    fs::remove(path);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(damaged.data()),
               static_cast<std::streamsize>(damaged.size()));
    return profiler::load_checkpoint(path, key, 3, options.codecs.size());
  };
  EXPECT_TRUE(load(*bytes));
  for (std::size_t length = 0; length < bytes->size(); length += 1 + bytes->size() / 97)
    EXPECT_FALSE(load(std::span(*bytes).first(length)));
  for (std::size_t at = 0; at < bytes->size(); at += 1 + bytes->size() / 97) {
    auto flipped = *bytes;
    flipped[at] ^= std::byte{1};
    EXPECT_FALSE(load(flipped)) << at;
  }
  const auto other = profiler::load_checkpoint(options.partial, key + 1, 3, options.codecs.size());
  EXPECT_EQ(other.error().code, core::Errc::mismatch);
}

TEST_F(ResumeTest, ATimeBudgetIsKeptAndSharedEvenly) {
  times = {core::milliseconds(100), core::milliseconds(200), core::milliseconds(100)};
  model = std::make_shared<FakeExecutable>(times, std::int64_t{1000}, &clock);
  cloud.models.put(model);
  options.partial.clear();
  const auto timed = [&](Seconds limit) {
    options.time_limit = limit;
    const Seconds start = clock.now();
    const auto made = profile();
    EXPECT_TRUE(made) << made.error().message();
    const auto& settings = made->hosts[core::edge_host].settings;
    EXPECT_EQ(settings[0].whole.samples, settings[1].whole.samples);
    return std::pair(clock.now() - start, settings[0].whole.samples);
  };
  const auto [free, many] = timed(Seconds(0));
  const auto [bound, fewer] = timed(Seconds(60));
  EXPECT_GT(free, Seconds(60));
  EXPECT_LE(bound, Seconds(66));
  EXPECT_GE(bound, Seconds(30)) << "time that is there is used";
  EXPECT_LT(fewer, many);
  EXPECT_GE(fewer, 4u);
  const auto [least, fewest] = timed(Seconds(1));
  EXPECT_EQ(fewest, 4u) << "one a round";
  EXPECT_LT(least, bound);
}

}  // namespace
}  // namespace cleave::tests
