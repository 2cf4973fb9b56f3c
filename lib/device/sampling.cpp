#include <cleave/device/sampling.hpp>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace cleave::inline v0::device {

void PowerIntegrator::add(core::Seconds time, core::Watts power) {
  power_ = power;
  if (last_ && time <= last_->time) {
    last_->power = power;
    return;
  }
  if (last_) {
    const core::Seconds span = time - last_->time;
    joules_ += 0.5 * (last_->power + power) * span;
    const double difference = ((power - last_->power) * span).count();
    squares_ += 0.5 * difference * difference;
    time_ += span;
    longest_ = std::max(longest_, span);
    ++intervals_;
  }
  last_ = Sample{time, power};
}

core::Joules PowerIntegrator::error() const {
  return core::Joules(std::sqrt(squares_));
}

core::Watts PowerIntegrator::mean() const {
  return time_.count() > 0 ? joules_ / time_ : power_;
}

class SamplingMeter::Impl {
 public:
  Impl(PowerSource source, SamplingOptions options, core::Boundary boundary)
      : source_(std::move(source)),
        options_(std::move(options)),
        boundary_(boundary),
        clock_(options_.clock ? options_.clock : std::make_shared<core::SteadyClock>()) {
    if (options_.period.count() == 0)
      options_.period = source_.period;
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable())
      thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  core::Result<void> look() {
    if (!(options_.period.count() >= 0))
      return core::fail(core::Errc::invalid_argument, "a sampling period must be positive",
                        source_.name);
    if (auto power = source_.read(); !power)
      return core::fail(power);
    return {};
  }

  core::Result<EnergyReading> read() {
    const std::lock_guard lock(mutex_);
    auto sampled = take();
    if (sampled && !started_)
      start();
    const auto missed = std::exchange(missed_, std::nullopt);
    if (!sampled)
      return core::fail(sampled);
    if (missed)
      return tl::unexpected(*missed);
    EnergyReading reading;
    reading.joules = integrator_.joules();
    reading.boundary = boundary_;
    reading.origin = core::Origin::measured;
    core::Seconds interval = std::max(options_.period, source_.averaging);
    if (integrator_.intervals() > 0)
      interval = std::max(interval, integrator_.time() / double(integrator_.intervals()));
    reading.resolution = core::Joules(std::abs((integrator_.mean() * interval).count()));
    reading.source = source_.source;
    reading.error = integrator_.error();
    reading.overhead = overhead_;
    return reading;
  }

  core::Result<void> sample() {
    const std::lock_guard lock(mutex_);
    return take();
  }

  [[nodiscard]] const std::string& name() const { return source_.name; }
  std::uint64_t samples() {
    const std::lock_guard lock(mutex_);
    return samples_;
  }
  core::Seconds longest() {
    const std::lock_guard lock(mutex_);
    return integrator_.longest();
  }
  core::Watts mean() {
    const std::lock_guard lock(mutex_);
    return integrator_.mean();
  }

 private:
  core::Result<void> take() {
    const core::Seconds before = clock_->now();
    const auto power = source_.read();
    const core::Seconds after = clock_->now();
    overhead_ += after - before;
    if (!power) {
      integrator_.interrupt();
      missed_ = power.error();
      return core::fail(power);
    }
    integrator_.add(before + (after - before) * 0.5, *power);
    ++samples_;
    return {};
  }

  void start() {
    started_ = true;
    if (options_.thread)
      thread_ = std::thread([this] { run(); });
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "cleave-meter");
    std::unique_lock lock(mutex_);
    const std::chrono::duration<double> period(options_.period.count());
    while (!wake_.wait_for(lock, period, [this] { return stop_; }))
      (void)take();  // kept in missed_ for the next read()
  }

  PowerSource source_;
  SamplingOptions options_;
  core::Boundary boundary_;
  std::shared_ptr<core::Clock> clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool started_ = false, stop_ = false;
  PowerIntegrator integrator_;
  std::optional<core::Error> missed_;
  core::Seconds overhead_;
  std::uint64_t samples_ = 0;
  std::thread thread_;
};

SamplingMeter::SamplingMeter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SamplingMeter::~SamplingMeter() = default;

core::Result<std::unique_ptr<SamplingMeter>> SamplingMeter::open(PowerSource source,
                                                                 SamplingOptions options,
                                                                 core::Boundary boundary) {
  auto impl = std::make_unique<Impl>(std::move(source), std::move(options), boundary);
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  return std::unique_ptr<SamplingMeter>(new SamplingMeter(std::move(impl)));
}

std::string SamplingMeter::name() const {
  return impl_->name();
}
core::Result<EnergyReading> SamplingMeter::read() {
  return impl_->read();
}
core::Result<void> SamplingMeter::sample() {
  return impl_->sample();
}
std::uint64_t SamplingMeter::samples() const {
  return impl_->samples();
}
core::Seconds SamplingMeter::longest_gap() const {
  return impl_->longest();
}
core::Watts SamplingMeter::mean_power() const {
  return impl_->mean();
}

class CounterMeter::Impl {
 public:
  Impl(CounterSource source, core::Boundary boundary, std::shared_ptr<core::Clock> clock)
      : source_(std::move(source)),
        boundary_(boundary),
        clock_(clock ? std::move(clock) : std::make_shared<core::SteadyClock>()),
        opened_(clock_->now()) {}

  core::Result<void> look() {
    const auto now = count();
    if (!now)
      return core::fail(now);
    last_ = *now;
    return {};
  }

  core::Result<EnergyReading> read() {
    const std::lock_guard lock(mutex_);
    const auto now = count();
    if (!now)
      return core::fail(now);
    double used = source_.falls ? last_ - *now : *now - last_;
    last_ = *now;
    if (used < 0)
      used += source_.range;
    if (used < 0)
      return core::fail(core::Errc::corrupt,
                        source_.falls       ? "what is left has risen: it is being charged"
                        : source_.range > 0 ? "the counter went back by more than its range"
                                            : "the counter went back: it was reset",
                        source_.source, "measure again");
    counts_ += used;
    EnergyReading reading;
    reading.joules = counts_ * source_.unit;
    reading.boundary = boundary_;
    reading.origin = core::Origin::measured;
    reading.resolution = source_.resolution;
    if (const core::Seconds time = clock_->now() - opened_; time.count() > 0)
      reading.resolution = std::max(reading.resolution, reading.joules / time * source_.update);
    reading.source = source_.source;
    return reading;
  }

  [[nodiscard]] const std::string& name() const { return source_.name; }

 private:
  core::Result<double> count() {
    auto value = source_.read();
    if (value && !(*value >= 0 && std::isfinite(*value)))
      return core::fail(core::Errc::corrupt, "not an energy", source_.source);
    return value;
  }

  std::mutex mutex_;
  CounterSource source_;
  core::Boundary boundary_;
  std::shared_ptr<core::Clock> clock_;
  core::Seconds opened_;
  double last_ = 0, counts_ = 0;
};

CounterMeter::CounterMeter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CounterMeter::~CounterMeter() = default;

core::Result<std::unique_ptr<CounterMeter>> CounterMeter::open(CounterSource source,
                                                               core::Boundary boundary,
                                                               std::shared_ptr<core::Clock> clock) {
  auto impl = std::make_unique<Impl>(std::move(source), boundary, std::move(clock));
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  return std::unique_ptr<CounterMeter>(new CounterMeter(std::move(impl)));
}

std::string CounterMeter::name() const {
  return impl_->name();
}
core::Result<EnergyReading> CounterMeter::read() {
  return impl_->read();
}

}  // namespace cleave::inline v0::device
