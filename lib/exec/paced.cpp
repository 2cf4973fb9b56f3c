#include <cleave/exec/paced.hpp>

#include <cerrno>
#include <cmath>
#include <ctime>

namespace cleave::inline v0::exec {
namespace {

using core::Seconds;

Seconds read(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return Seconds(static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9);
}

void sleep_to(Seconds until) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(until.count());
  time.tv_nsec = static_cast<long>((until.count() - std::floor(until.count())) * 1e9);
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
  }
}

}  // namespace

PaceTime PaceTime::system() {
  return {[] { return read(CLOCK_MONOTONIC); }, [] { return read(CLOCK_THREAD_CPUTIME_ID); },
          sleep_to};
}

// One call: measures from construction on.
class PacedExecutable::Stretch {
 public:
  explicit Stretch(const PacedExecutable& of)
      : of_(of), start_(of.time_.now()), cpu_(of.time_.cpu()) {}

  // Sleeps; how much longer than the work itself the call then took, as a factor.
  double hold() const {
    const Seconds worked = of_.time_.now() - start_;
    const Seconds due = (of_.time_.cpu() - cpu_) / of_.pace_->share();
    if (due <= worked || worked <= Seconds(0))
      return 1;
    of_.time_.sleep_until(start_ + due);
    return (of_.time_.now() - start_) / worked;
  }

 private:
  const PacedExecutable& of_;
  Seconds start_, cpu_;
};

PacedExecutable::PacedExecutable(std::shared_ptr<const core::Executable> inner,
                                 std::shared_ptr<const device::Pace> pace, PaceTime time)
    : inner_(std::move(inner)), pace_(std::move(pace)), time_(std::move(time)) {}

core::Fingerprint PacedExecutable::fingerprint() const {
  return inner_->fingerprint();
}

std::span<const core::Cut> PacedExecutable::cuts() const {
  return inner_->cuts();
}

std::uint32_t PacedExecutable::step_count() const {
  return inner_->step_count();
}

core::StepGraph PacedExecutable::step_graph() const {
  return inner_->step_graph();
}

core::Result<core::Cut> PacedExecutable::cut_at(std::span<const core::StepRange> head) const {
  return inner_->cut_at(head);
}

core::Result<core::Values> PacedExecutable::run(core::CutId begin, core::CutId end,
                                                const core::Values& values) const {
  const Stretch stretch(*this);
  auto result = inner_->run(begin, end, values);
  stretch.hold();
  return result;
}

core::Result<core::Values> PacedExecutable::run_timed(core::CutId begin, core::CutId end,
                                                      const core::Values& values,
                                                      std::vector<core::StepTime>& times) const {
  const std::size_t before = times.size();
  const Stretch stretch(*this);
  auto result = inner_->run_timed(begin, end, values, times);
  const double factor = stretch.hold();
  for (std::size_t i = before; i < times.size(); ++i) times[i].time = times[i].time * factor;
  return result;
}

core::Result<std::vector<core::StepMemory>> PacedExecutable::measure_memory(
    const core::Values& inputs) const {
  return inner_->measure_memory(inputs);
}

core::Result<void> PacedExecutable::set_threads(int threads) const {
  return inner_->set_threads(threads);
}

}  // namespace cleave::inline v0::exec
