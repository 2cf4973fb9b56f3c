#include "profiler/link.hpp"

#include "profiler/statistics.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/exec/link_service.hpp>

#include <algorithm>

namespace cleave::inline v0::profiler {
namespace {

using core::Seconds;

// One timed call, with the cloud's own time taken off.
core::Result<double> timed_call(exec::Remote& cloud, const core::Clock& clock,
                                std::string_view method, std::vector<std::byte> body) {
  const Seconds before = clock.now();
  const auto reply =
      cloud.call({exec::link_service, method, std::move(body), 1, Seconds(0), Seconds(120)});
  if (!reply)
    return core::fail(reply);
  return (clock.now() - before - reply->queue - reply->handler).count();
}

}  // namespace

core::Result<table::LinkProfile> measure_link(exec::Remote& cloud, const core::Clock& clock,
                                              const LinkOptions& options) {
  table::LinkProfile link;
  std::vector<double> samples;
  for (int i = 0; i < options.round_trips + 2; ++i) {
    if (options.stop.stop_requested())
      return core::fail(core::Errc::cancelled, "interrupted");
    const auto time = timed_call(cloud, clock, exec::sink_method, {});
    if (!time)
      return core::fail(time);
    if (i >= 2)  // the first ones warm the path up
      samples.push_back(*time);
  }
  link.round_trip = Seconds(median_of(samples));
  link.round_trip_spread = Seconds(deviation_of(samples));

  const auto largest = static_cast<std::size_t>(std::clamp(options.largest.count(), 65536.0, 4e6));
  std::vector<std::size_t> sizes;
  for (std::size_t size = 2048; size < largest; size *= 2) sizes.push_back(size);
  sizes.push_back(largest);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    samples.clear();
    for (int repeat = 0; repeat < options.repeats; ++repeat) {
      if (options.stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      const auto time =
          timed_call(cloud, clock, exec::sink_method, std::vector<std::byte>(sizes[i]));
      if (!time)
        return core::fail(time);
      samples.push_back(std::max(0.0, *time - link.round_trip.count()));
    }
    link.sizes.push_back({core::Bytes(static_cast<double>(sizes[i])), Seconds(median_of(samples))});
    if (options.progress)
      options.progress(static_cast<double>(i + 1) / static_cast<double>(sizes.size() + 1));
  }
  // The rate of large messages is the slope between two of them, free of what each message costs.
  const auto& big = link.sizes.back();
  const auto& half = link.sizes[link.sizes.size() - 2];
  const double seconds = std::max(1e-9, (big.time - half.time).count());
  link.up = core::BytesPerSecond((big.bytes - half.bytes).count() / seconds);

  double down[2];
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t size = i == 0 ? largest / 2 : largest;
    samples.clear();
    for (int repeat = 0; repeat < options.repeats; ++repeat) {
      std::vector<std::byte> body;
      core::ByteWriter(body).put(size);
      const auto time = timed_call(cloud, clock, exec::source_method, std::move(body));
      if (!time)
        return core::fail(time);
      samples.push_back(*time);
    }
    down[i] = median_of(samples);
  }
  link.down = core::BytesPerSecond(static_cast<double>(largest - largest / 2) /
                                   std::max(1e-9, down[1] - down[0]));
  return link;
}

}  // namespace cleave::inline v0::profiler
