#include <cleave/runtime/cloud_link.hpp>
#include <cleave/transport/channel.hpp>
#include <cleave/transport/link_estimator.hpp>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace cleave::inline v0::runtime {
namespace {

using core::Errc;
using core::Seconds;

// How fast the memory of the cloud's queue fades.
constexpr Seconds queue_memory(1.0);
constexpr Seconds look_again(0.1);
// Bodies too small to tell a bandwidth from.
constexpr std::size_t least_for_bandwidth = 8192;

std::chrono::duration<double> duration(Seconds time) {
  return std::chrono::duration<double>(time.count());
}

}  // namespace

struct CloudLink::Impl {
  explicit Impl(CloudLinkOptions given)
      : options(std::move(given)),
        clock(options.clock ? options.clock : std::make_shared<core::SteadyClock>()),
        random(options.seed != 0 ? options.seed : std::random_device{}()) {
    keeper = std::thread([this] { keep_connected(); });
    pthread_setname_np(keeper.native_handle(), "cleave-link");
  }

  ~Impl() {
    std::shared_ptr<transport::Channel> last;
    {
      const std::lock_guard lock(mutex);
      closing = true;
      last = std::move(channel);
    }
    changed.notify_all();
    last.reset();
    keeper.join();
  }

  // Connects, waits until the connection is reported lost, and starts anew.
  void keep_connected() {
    Seconds backoff = options.first_backoff;
    std::unique_lock lock(mutex);
    while (!closing) {
      if (channel && channel->connected()) {
        backoff = options.first_backoff;
        // A connection may be lost while nobody calls, so it is looked at now and then, too.
        changed.wait_for(lock, duration(look_again),
                         [this] { return closing || !channel || !channel->connected(); });
        continue;
      }
      channel.reset();
      lock.unlock();
      transport::ChannelOptions wanted;
      wanted.host = options.host;
      wanted.port = options.port;
      wanted.connect_timeout = options.connect_timeout;
      wanted.security = options.security;
      wanted.log = options.log;
      auto connected = transport::Channel::connect(wanted);
      lock.lock();
      if (connected) {
        if (closing)
          break;
        channel = std::move(*connected);
        last_error.reset();
        changed.notify_all();
        continue;
      }
      last_error = connected.error();
      changed.notify_all();
      const double shortened = 0.5 + 0.5 * static_cast<double>(random() >> 11) * 0x1p-53;
      changed.wait_for(lock, duration(backoff * shortened), [this] { return closing; });
      backoff = std::min(options.last_backoff, backoff * 2.0);
    }
  }

  [[nodiscard]] std::shared_ptr<transport::Channel> current() const {
    const std::lock_guard lock(mutex);
    return channel && channel->connected() ? channel : nullptr;
  }

  // Feeds the estimates with what a call showed.
  void learn(std::size_t sent, const transport::Response& reply, Seconds took) {
    const std::lock_guard lock(mutex);
    const Seconds now = clock->now();
    if (sent >= least_for_bandwidth && reply.upload > Seconds(0))
      estimator.add_upload(core::Bytes(static_cast<double>(sent)), reply.upload, now);
    if (reply.body.size() >= least_for_bandwidth && reply.download > Seconds(0))
      estimator.add_download(core::Bytes(static_cast<double>(reply.body.size())), reply.download,
                             now);
    const Seconds round = took - reply.upload - reply.queue - reply.handler - reply.download;
    if (round > Seconds(0))
      estimator.add_round_trip(round, now);
    queued = reply.queue;
    queued_at = now;
  }

  CloudLinkOptions options;
  std::shared_ptr<const core::Clock> clock;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<transport::Channel> channel;
  std::optional<core::Error> last_error;
  transport::LinkEstimator estimator;
  Seconds queued, queued_at;
  std::mt19937_64 random;
  bool closing = false;
  std::thread keeper;
};

CloudLink::CloudLink(CloudLinkOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
CloudLink::~CloudLink() = default;

core::Result<exec::RemoteReply> CloudLink::call(exec::RemoteCall call) {
  const auto channel = impl_->current();
  if (!channel)
    return core::fail(Errc::unavailable, "the cloud is not reachable",
                      impl_->options.host + ":" + std::to_string(impl_->options.port),
                      "is `cleave serve` running there?");
  const std::size_t sent = call.body.size();
  const Seconds start = impl_->clock->now();
  transport::Call request;
  request.service = call.service;
  request.method = call.method;
  request.body = std::move(call.body);
  request.priority = call.priority;
  request.remaining = call.remaining;
  request.timeout = call.patience;
  auto reply = channel->call(std::move(request));
  if (!reply) {
    // The keeper waits for exactly this news.
    impl_->changed.notify_all();
    return core::fail(reply);
  }
  impl_->learn(sent, *reply, impl_->clock->now() - start);
  return exec::RemoteReply{std::move(reply->body), reply->upload, reply->queue, reply->handler,
                           reply->download};
}

core::Result<void> CloudLink::wait_connected(Seconds timeout) {
  std::unique_lock lock(impl_->mutex);
  if (impl_->changed.wait_for(lock, duration(timeout),
                              [this] { return impl_->channel && impl_->channel->connected(); }))
    return {};
  const std::string where = impl_->options.host + ":" + std::to_string(impl_->options.port);
  if (impl_->last_error)
    return tl::unexpected<core::Error>(*impl_->last_error);
  return core::fail(Errc::unavailable, "the cloud does not answer", where,
                    "is `cleave serve` running there?");
}

bool CloudLink::reachable() const {
  return impl_->current() != nullptr;
}

std::optional<table::LinkState> CloudLink::estimate() const {
  const std::lock_guard lock(impl_->mutex);
  const auto estimate = impl_->estimator.estimate();
  if (!estimate)
    return std::nullopt;
  return table::LinkState{estimate->round_trip, estimate->up, estimate->down};
}

Seconds CloudLink::queue() const {
  const std::lock_guard lock(impl_->mutex);
  const Seconds age = impl_->clock->now() - impl_->queued_at;
  return impl_->queued * std::exp(-std::max(0.0, age / queue_memory));
}

core::Result<exec::HostDescription> CloudLink::describe() {
  const auto reply =
      call({exec::infer_service, exec::models_method, {}, 1, Seconds(0), Seconds(10)});
  if (!reply)
    return core::fail(reply);
  return exec::parse_description(reply->body);
}

core::Result<void> CloudLink::check_serves(core::Fingerprint model) {
  const auto description = describe();
  if (!description)
    return core::fail(description);
  exec::HostDescription const& host = *description;
  std::string serves;
  for (const core::Fingerprint other : host.models) {
    if (other == model)
      return {};
    serves += (serves.empty() ? "" : ", ") + to_string(other);
  }
  return core::fail(Errc::mismatch,
                    "the cloud at " + impl_->options.host + ":" +
                        std::to_string(impl_->options.port) + " serves other models (" +
                        (serves.empty() ? "none" : serves) + ")",
                    to_string(model), "give `cleave serve` the same model file");
}

}  // namespace cleave::inline v0::runtime
