// The time between requests, and what it means under a CPU quota.
#include "profiler/rest.hpp"

#include "tests/profiler/profiler_fixture.hpp"
#include "tests/support/retimed_executable.hpp"

#include <cleave/profiler/validation.hpp>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

// A millisecond in every twenty.
std::optional<device::ShareSlice> twentieth(std::span<const core::LevelIndex>) {
  return device::ShareSlice{milliseconds(1), milliseconds(20)};
}

class RestTest : public testing::Test {
 protected:
  profiler::Rest rest(device::SliceOf slice) {
    profiler::RestOptions options;
    options.gap = milliseconds(10);
    options.idle = [this](Seconds time) { clock.advance(time); };
    options.slice = std::move(slice);
    options.cpu_time = [this] { return cpu; };
    options.clock = &clock;
    return profiler::Rest(std::move(options));
  }
  // How long it waits after work of `used` that took `wall`.
  Seconds waits(profiler::Rest& rest, Seconds used, Seconds wall, double fraction) {
    clock.advance(wall);
    cpu += used;
    const Seconds before = clock.now();
    rest.wait(fraction, {});
    return clock.now() - before;
  }

  core::ManualClock clock;
  Seconds cpu;
};

TEST_F(RestTest, WithoutAQuotaItIsOneToTwoGaps) {
  profiler::Rest plain = rest({});
  EXPECT_NEAR(waits(plain, milliseconds(50), milliseconds(50), 0).count(), 0.010, 1e-12);
  EXPECT_NEAR(waits(plain, milliseconds(50), milliseconds(50), 0.75).count(), 0.0175, 1e-12);
}

TEST_F(RestTest, AQuotaIsPaidBackFirst) {
  profiler::Rest quota = rest(twentieth);
  // 3 ms of work are paid back in 60 ms, of which 3 have passed.
  EXPECT_NEAR(waits(quota, milliseconds(3), milliseconds(3), 0).count(), 0.057, 1e-12);
  EXPECT_NEAR(waits(quota, milliseconds(3), milliseconds(3), 0.5).count(), 0.067, 1e-12);
  // Work that stalled has paid for itself.
  EXPECT_NEAR(waits(quota, milliseconds(3), milliseconds(60), 0.25).count(), 0.0125, 1e-12);
  EXPECT_NEAR(waits(quota, Seconds(), Seconds(), 0).count(), 0.010, 1e-12) << "the gap at least";
}

TEST_F(ProfilerTest, UnderAQuotaMeansAreHeldAgainstPredictionsElsewhereMedians) {
  const auto profile = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(profile) << profile.error().message();
  // Every fourth pass on the edge stalls for 8 ms.
  int passes = 0;
  const auto stalling = std::make_shared<RetimedExecutable>(
      model, [&](core::CutId, core::CutId, std::span<core::StepTime>) {
        if (passes++ % 4 == 0)
          clock.advance(milliseconds(8));
      });
  profiler::ValidateOptions validate;
  validate.configurations = 6;
  validate.repeats = 8;
  validate.idle_gap = milliseconds(10);
  validate.idle = [this](Seconds time) { clock.advance(time); };
  validate.clock = &clock;
  const auto edge_error = [&] {
    const auto report =
        profiler::validate_profile(*profile, stalling, model->example(), *knobs, cloud, validate);
    EXPECT_TRUE(report) << report.error().message();
    double worst = 0;
    for (const auto& one : report->configurations)
      if (one.predicted.edge_compute > Seconds(0))
        worst = std::max(
            worst, std::abs((one.measured.edge_compute - one.predicted.edge_compute).count()));
    return worst;
  };
  EXPECT_NEAR(edge_error(), 0, 1e-9);
  validate.slice = twentieth;
  EXPECT_NEAR(edge_error(), 0.002, 1e-9);
}

}  // namespace
}  // namespace cleave::tests
