// A network of three steps, an edge with two settings and a cloud in the same process, on a clock
// that the test moves.
#pragma once

#include "tests/support/fake_cloud.hpp"
#include "tests/support/fake_executable.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace cleave::tests {

inline std::unique_ptr<device::Arbiter> thread_knob(std::vector<int> counts,
                                             device::ThreadsGovernor::Setter set) {
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(
      std::make_unique<device::ThreadsGovernor>(std::move(counts), 1, std::move(set)));
  return std::make_unique<device::Arbiter>(std::move(governors));
}

inline device::HostPower ten_watts(std::span<const core::LevelIndex>) {
  return {core::Watts(10), core::Watts(2), core::Watts(100), core::Origin::modelled};
}

class ProfilerTest : public testing::Test {
 protected:
  ProfilerTest() {
    cloud.handlers["profile/machine"] = [this](std::span<const std::byte>) {
      return measure.machine();
    };
    cloud.round_trip = core::milliseconds(10);
    cloud.rate = core::megabits_per_second(20);
    cloud.handlers["profile/measure"] = [this](std::span<const std::byte> body) {
      return measure.measure(body);
    };
    options.model_name = "fake";
    options.edge.power = ten_watts;
    options.edge.name = "edge";
    options.edge.made_on = {"edge", "a small processor", 4, "cpu", {}};
    options.edge.idle_gap = core::milliseconds(10);
    options.edge.idle = [this](core::Seconds time) { clock.advance(time); };
    options.clock = &clock;
    options.every_cut = true;
  }

  core::ManualClock clock;
  std::vector<core::Seconds> times{core::milliseconds(3), core::milliseconds(5), core::milliseconds(7)};
  std::shared_ptr<FakeExecutable> model =
      std::make_shared<FakeExecutable>(times, std::int64_t{1000}, &clock);
  FakeCloud cloud{clock, model};
  std::unique_ptr<device::Arbiter> knobs =
      thread_knob({1, 2}, [](int) { return core::Result<void>(); });
  std::unique_ptr<device::Arbiter> cloud_knobs =
      thread_knob({1}, [](int) { return core::Result<void>(); });
  profiler::HostOptions cloud_host = [this] {
    profiler::HostOptions host;
    host.name = "cloud";
    host.made_on = {"cloud", "a large processor", 64, "cuda:0", {{"libtorch", "2.6.0"}}};
    host.power = ten_watts;
    host.clock = &clock;
    return host;
  }();
  profiler::MeasureService measure{cloud.models, *cloud_knobs, cloud_host};
  profiler::ProfileOptions options;
};

}  // namespace cleave::tests
