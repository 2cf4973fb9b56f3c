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

// Messages no larger than this, however fast the link.
constexpr std::size_t largest_message = std::size_t{4} << 20;

// The median of the slopes between the larger messages (Theil 1950, Sen 1968): free of what each
// message costs, and of a few that met with a delay.
core::BytesPerSecond rate_of(const std::vector<table::TransferSample>& sizes) {
  std::vector<double> seconds_per_byte;
  const std::size_t first = sizes.size() > 4 ? sizes.size() - 4 : 0;
  for (std::size_t i = first; i < sizes.size(); ++i)
    for (std::size_t k = i + 1; k < sizes.size(); ++k)
      seconds_per_byte.push_back((sizes[k].time - sizes[i].time).count() /
                                 (sizes[k].bytes - sizes[i].bytes).count());
  return core::BytesPerSecond(1 / std::max(1e-15, median_of(seconds_per_byte)));
}

}  // namespace

core::Result<Seconds> exchange(exec::Remote& cloud, const core::Clock& clock) {
  const auto time = timed_call(cloud, clock, exec::sink_method, {});
  if (!time)
    return core::fail(time);
  return Seconds(*time);
}

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

  // Messages twice as large each time, up to the largest of use, and on until one takes long enough
  // for the rate to be told from the round trip's jitter.
  const auto enough = [&](std::size_t size, Seconds took) {
    return static_cast<double>(size) >= options.largest.count() && took >= options.long_enough;
  };
  const auto sweep = [&](std::string_view method, std::size_t first, const auto& body_of,
                         double from,
                         double to) -> core::Result<std::vector<table::TransferSample>> {
    std::vector<table::TransferSample> sizes;
    for (std::size_t size = first; size <= largest_message; size *= 2) {
      samples.clear();
      for (int repeat = 0; repeat < options.repeats; ++repeat) {
        if (options.stop.stop_requested())
          return core::fail(core::Errc::cancelled, "interrupted");
        const auto time = timed_call(cloud, clock, method, body_of(size));
        if (!time)
          return core::fail(time);
        samples.push_back(std::max(0.0, *time - link.round_trip.count()));
      }
      sizes.push_back({core::Bytes(static_cast<double>(size)), Seconds(median_of(samples))});
      if (options.progress)
        options.progress(from +
                         (to - from) * std::min(1.0, sizes.back().time / options.long_enough));
      if (enough(size, sizes.back().time))
        break;
    }
    return sizes;
  };
  auto up = sweep(
      exec::sink_method, 2048, [](std::size_t size) { return std::vector<std::byte>(size); }, 0,
      0.7);
  if (!up)
    return core::fail(up);
  link.sizes = std::move(*up);
  link.up = rate_of(link.sizes);

  const auto down = sweep(
      exec::source_method, 16384,
      [](std::size_t size) {
        std::vector<std::byte> body;
        core::ByteWriter(body).put(static_cast<std::uint64_t>(size));
        return body;
      },
      0.7, 1);
  if (!down)
    return core::fail(down);
  link.down = rate_of(*down);
  return link;
}

}  // namespace cleave::inline v0::profiler
