#include <cleave/core/bytes.hpp>
#include <cleave/exec/link_service.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/transport/channel.hpp>
#include <cleave/transport/queue_estimator.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace cleave::inline v0::runtime {
namespace {

using core::Errc;
using core::fail;
using core::Seconds;

// A connection may be lost, or the link change, while nobody calls: they are looked at now and
// then.
constexpr Seconds look_again(0.05);
// Silence for less than this, beyond twice what is expected, means nothing on a busy machine.
constexpr Seconds least_silence = core::milliseconds(20);
constexpr std::uint8_t probe_priority = 255;
// Measuring the link gives way to requests.
constexpr std::uint8_t measure_priority = 0;
// Who asks for the queue waits in it as a request does (runtime::Request::priority).
constexpr std::uint8_t usual_priority = 1;

std::chrono::duration<double> duration(Seconds time) {
  return std::chrono::duration<double>(time.count());
}

BreakerOptions breaker_options(const CloudLinkOptions& options) {
  BreakerOptions breaker;
  breaker.failures = options.failures;
  breaker.backoff = {options.first_backoff, options.last_backoff,
                     options.seed != 0 ? options.seed : std::random_device{}()};
  return breaker;
}

// What the cloud takes at most in one body, unless it was set up otherwise.
constexpr std::uint64_t most_streamed = transport::Limits{}.max_body;
// What arrived more slowly than this, against the time in which it was made, shows the link's rate.
constexpr double clearly_slower = 1.25;

// One call's body, and who says how the call ended.
struct Sending {
  std::atomic<bool> over{false};
  std::atomic<std::size_t> bytes{0};
  std::atomic<double> made_in{0};  // seconds; 0: it was there before
  bool asks_for_queue = false;     // and is no news of the link
};

transport::Call probe_call(Seconds timeout) {
  transport::Call call;
  call.service = exec::infer_service;
  call.method = exec::models_method;
  call.priority = probe_priority;
  call.timeout = call.remaining = timeout;
  return call;
}

}  // namespace

struct CloudLink::Impl : std::enable_shared_from_this<CloudLink::Impl> {
  using ChannelPtr = std::shared_ptr<transport::Channel>;

  explicit Impl(CloudLinkOptions given)
      : options(std::move(given)),
        where(options.host + ":" + std::to_string(options.port)),
        clock(options.clock ? options.clock : std::make_shared<core::SteadyClock>()),
        io(std::make_shared<transport::IoContext>()),
        breaker(breaker_options(options)),
        estimator(options.estimator) {}

  void open() {
    keeper = std::thread([self = shared_from_this()] { self->keep_connected(); });
    pthread_setname_np(keeper.native_handle(), "cleave-link");
  }

  // Afterwards nobody else owns this, and so nothing is left on the I/O thread, unless that is the
  // one that closes it.
  void close() {
    ChannelPtr last;
    {
      const std::lock_guard lock(mutex);
      closing = true;
      last = std::move(channel);
    }
    changed.notify_all();
    keeper.join();
    last.reset();
  }

  // The keeper's life: watches the connection, and brings it back when the breaker allows.
  void keep_connected() {
    std::unique_lock lock(mutex);
    while (!closing) {
      const Seconds now = clock->now();
      if (channel && !channel->connected()) {
        breaker.trip(now);
        drop_channel(lock);
        continue;
      }
      if (breaker.begin_probe(now)) {
        probe(lock);
        continue;
      }
      if (breaker.closed() && missing() && now >= ask_again_at) {
        refresh(lock);
        continue;
      }
      if (usable() && options.probe_idle && channel->pending() == 0)
        if (const auto wanted = estimator.wants_probe(now)) {
          estimator.probe_sent(now);
          measure(*wanted, lock);
          continue;
        }
      if (usable() && options.probe_idle && channel->pending() == 0 && queue.wants_news(now)) {
        queue.asked(now);
        ask_for_queue(lock);
        continue;
      }
      const Seconds wait = breaker.closed() ? look_again : breaker.retry_at() - now;
      const auto opened = breaker.opened();
      changed.wait_for(lock, duration(std::clamp(wait, Seconds(0), look_again)), [&] {
        return closing || breaker.opened() != opened || (channel && !channel->connected());
      });
    }
  }

  // Calls under way on it fail; their callbacks take the mutex.
  void drop_channel(std::unique_lock<std::mutex>& lock) {
    ChannelPtr dropped = std::move(channel);
    channel.reset();
    ++epoch;
    waiting_since.reset();
    lock.unlock();
    dropped.reset();
    lock.lock();
  }

  // Connects if need be and asks what the cloud serves.
  void probe(std::unique_lock<std::mutex>& lock) {
    auto done = channel ? core::Result<void>() : connect(lock);
    if (done && !closing)
      done = ask(lock);
    if (closing)
      return;
    const Seconds now = clock->now();
    if (done) {
      breaker.succeeded(now);
      last_error.reset();
      options.log->log(core::Severity::info, "runtime", where + ": reachable");
    } else {
      breaker.failed(now);
      if (!last_error || last_error->what != done.error().what)
        options.log->log(core::Severity::warning, "runtime", done.error().message());
      last_error = done.error();
      drop_channel(lock);
    }
    changed.notify_all();
  }

  core::Result<void> connect(std::unique_lock<std::mutex>& lock) {
    transport::ChannelOptions wanted;
    wanted.host = options.host;
    wanted.port = options.port;
    wanted.connect_timeout = options.connect_timeout;
    wanted.heartbeat = options.heartbeat;
    wanted.security = options.security;
    wanted.io = io;
    wanted.log = options.log;
    using Connected = core::Result<ChannelPtr>;
    const auto connected = std::make_shared<std::optional<Connected>>();
    lock.unlock();
    const auto cancel = transport::Channel::connect_async(
        wanted, [self = shared_from_this(), connected](Connected c) {
          {
            const std::lock_guard guard(self->mutex);
            *connected = std::move(c);
          }
          self->changed.notify_all();
        });
    lock.lock();
    changed.wait(lock, [&] { return closing || connected->has_value(); });
    if (closing) {
      lock.unlock();
      cancel();
      connected->reset();
      lock.lock();
      return fail(Errc::cancelled, "closing");
    }
    if (!**connected)
      return fail(**connected);
    channel = std::move(***connected);
    ++epoch;
    waiting_since.reset();
    return {};
  }

  core::Result<void> ask(std::unique_lock<std::mutex>& lock) {
    using Answer = core::Result<transport::Response>;
    const auto answer = std::make_shared<std::optional<Answer>>();
    const ChannelPtr over = channel;
    lock.unlock();
    over->start(probe_call(options.probe_timeout), [self = shared_from_this(), answer](Answer a) {
      {
        const std::lock_guard guard(self->mutex);
        *answer = std::move(a);
      }
      self->changed.notify_all();
    });
    lock.lock();
    changed.wait(lock, [&] { return closing || answer->has_value(); });
    if (!answer->has_value())
      return fail(Errc::cancelled, "closing");
    if (!**answer)
      return fail(**answer);
    auto description = exec::parse_description((**answer)->body);
    if (!description)
      return fail(description);
    served = std::move(description->models);
    ask_again_at = clock->now() + options.last_backoff;
    heard();
    return {};
  }

  // Sends what the estimate asks for; the answers are learnt from like those of any call.
  void measure(const transport::LinkProbe& wanted, std::unique_lock<std::mutex>& lock) {
    std::vector<transport::Call> calls;
    if (wanted.up > 0 || wanted.down == 0)
      calls.push_back(link_call(exec::sink_method, std::vector<std::byte>(wanted.up)));
    if (wanted.down > 0) {
      std::vector<std::byte> count;
      core::ByteWriter(count).put(std::uint64_t{wanted.down});
      calls.push_back(link_call(exec::source_method, std::move(count)));
    }
    send(std::move(calls), false, lock);
  }

  // Sends a request of nothing. It waits for as long as one would.
  void ask_for_queue(std::unique_lock<std::mutex>& lock) {
    std::vector<transport::Call> calls;
    calls.push_back(link_call(exec::sink_method, {}));
    calls.back().priority = usual_priority;
    // Its answer is to be had however long the queue is.
    calls.back().timeout = calls.back().remaining =
        options.probe_timeout + 2.0 * queue.estimate(clock->now());
    send(std::move(calls), true, lock);
  }

  [[nodiscard]] transport::Call link_call(std::string_view method,
                                          std::vector<std::byte> body) const {
    transport::Call call;
    call.service = exec::link_service;
    call.method = method;
    call.body = std::move(body);
    call.priority = measure_priority;
    call.timeout = call.remaining = options.probe_timeout;
    return call;
  }

  // Answers are learnt from, and nobody waits for them.
  void send(std::vector<transport::Call> calls, bool for_queue,
            std::unique_lock<std::mutex>& lock) {
    const Seconds now = clock->now();
    const ChannelPtr over = channel;
    const std::uint64_t over_epoch = epoch;
    if (!waiting_since)
      waiting_since = now;
    lock.unlock();
    for (transport::Call& call : calls) {
      const auto sending = std::make_shared<Sending>();
      sending->bytes = call.body.bytes.size();
      sending->asks_for_queue = for_queue;
      over->start(std::move(call), ended(over_epoch, now, sending, Seconds(0), [](const auto&) {}));
    }
    lock.lock();
  }

  // Learns from the end of a call, unless its sender has given it up, and tells it on.
  template <class Done>
  transport::CallCallback ended(std::uint64_t over_epoch, Seconds start,
                                std::shared_ptr<Sending> sending, Seconds expected, Done done) {
    return [self = shared_from_this(), over_epoch, start, sending = std::move(sending), expected,
            done = std::move(done)](core::Result<transport::Response> reply) mutable {
      if (sending->over.exchange(true))
        return;
      self->finished(over_epoch, start, *sending, expected, reply);
      done(std::move(reply));
    };
  }

  // A body that is made while it is sent. Gives the call's id. Without the mutex.
  template <class Done>
  transport::CallId stream(transport::Channel& over, transport::Call call, exec::BodySource& more,
                           Sending& sending, const transport::CallCallback& ended,
                           const Done& done) {
    auto first = std::move(call.body);
    auto body = over.start_streamed(std::move(call), first.bytes.size() + more.bound(), ended);
    const transport::CallId id = body.id();
    const Seconds begun = clock->now();
    std::size_t bytes = first.bytes.size();
    body.write(std::move(first));
    while (!sending.over) {
      auto piece = more.next();
      if (!piece) {
        if (!sending.over.exchange(true))
          done(fail(piece));
        break;  // and so the body cancels the call
      }
      bytes += piece->size();
      if (piece->empty()) {
        sending.bytes = bytes;
        sending.made_in = (clock->now() - begun).count();
        body.finish();
        break;
      }
      body.write(std::move(*piece));
    }
    return id;
  }

  // A model that was missing may have been put into the cloud's folder.
  void refresh(std::unique_lock<std::mutex>& lock) {
    const auto asked = ask(lock);
    ask_again_at = clock->now() + options.last_backoff;
    if (!asked && !closing)
      options.log->log(core::Severity::warning, "runtime", asked.error().message());
  }

  [[nodiscard]] bool has(core::Fingerprint model) const {
    return std::find(served.begin(), served.end(), model) != served.end();
  }

  [[nodiscard]] bool missing() const {
    return !std::all_of(required.begin(), required.end(), [this](auto m) { return has(m); });
  }

  [[nodiscard]] bool usable() const { return breaker.closed() && channel && channel->connected(); }

  // Something came from the cloud. Needs the mutex.
  void heard() { waiting_since.reset(); }

  // What a call came to. On the I/O thread.
  void finished(std::uint64_t call_epoch, Seconds start, const Sending& sent, Seconds expected,
                const core::Result<transport::Response>& reply) {
    const std::lock_guard lock(mutex);
    const Seconds now = clock->now();
    if (reply)
      learn(sent, *reply, now - start, now);
    if (call_epoch != epoch)
      return;  // of a connection that was given up
    if (reply) {
      heard();
      breaker.succeeded(now);
      return;
    }
    switch (reply.error().code) {
      case Errc::unavailable:  // the connection broke
        breaker.trip(now);
        break;
      case Errc::timed_out:
      case Errc::cancelled:
        if (waiting_since && now - *waiting_since > 2.0 * expected + least_silence)
          breaker.suspect(now);
        else if (reply.error().code == Errc::timed_out)
          breaker.failed(now);
        break;
      case Errc::invalid_argument:  // the caller's fault, and an answer
        heard();
        break;
      default:
        heard();
        breaker.failed(now);
    }
    changed.notify_all();
  }

  // Feeds the estimates with what a call showed. Needs the mutex.
  void learn(const Sending& sent, const transport::Response& reply, Seconds took, Seconds now) {
    queue.add(reply.queue, now);
    if (sent.asks_for_queue)
      return;
    const core::Bytes up(static_cast<double>(sent.bytes));
    if (reply.upload > Seconds(clearly_slower * sent.made_in))
      estimator.add_upload(up, reply.upload, now);
    else
      estimator.add_upload_at_least(up, reply.upload, now);
    if (reply.download > Seconds(0))
      estimator.add_download(core::Bytes(static_cast<double>(reply.body.size())), reply.download,
                             now);
    const Seconds round = took - reply.upload - reply.queue - reply.handler - reply.download;
    if (round > Seconds(0))
      estimator.add_round_trip(round, now);
  }

  const CloudLinkOptions options;
  const std::string where;
  const std::shared_ptr<const core::Clock> clock;
  const std::shared_ptr<transport::IoContext> io;
  mutable std::mutex mutex;
  std::condition_variable changed;
  ChannelPtr channel;
  std::uint64_t epoch = 0;  // of the channel: results of earlier ones are stale
  Breaker breaker;
  std::optional<Seconds> waiting_since;  // the first call after the cloud was last heard
  std::optional<core::Error> last_error;
  std::vector<core::Fingerprint> required, served;
  transport::LinkEstimator estimator;
  transport::QueueEstimator queue;
  Seconds ask_again_at;
  bool closing = false;
  std::thread keeper;
};

CloudLink::CloudLink(CloudLinkOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {
  impl_->open();
}

CloudLink::~CloudLink() {
  impl_->close();
}

exec::RemoteStart CloudLink::start(exec::RemoteCall call, Done done) {
  const Seconds expected = expected_finish(*this, call.choice);
  std::shared_ptr<transport::Channel> channel;
  std::uint64_t epoch = 0;
  const Seconds now = impl_->clock->now();
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->usable() && (call.choice.avoid & 1) == 0) {
      channel = impl_->channel;
      epoch = impl_->epoch;
    }
  }
  if (!channel) {
    done(fail(Errc::unavailable, "the cloud is not reachable", impl_->where,
              "is `cleave serve` running there?"));
    return {};
  }
  // The bytes may be few though the bound is not: as a whole they are what counts.
  if (call.more != nullptr && call.body.size() + call.more->bound() > most_streamed)
    if (auto whole = exec::gather(call); !whole) {
      done(fail(whole));
      return {0, {}};
    }
  transport::Call request;
  request.service = call.service;
  request.method = call.method;
  request.body = std::move(call.body);
  request.priority = call.priority;
  request.remaining = call.remaining;
  request.timeout = call.patience;
  const auto tell = [done = std::move(done)](core::Result<transport::Response> reply) {
    if (!reply)
      done(fail(reply));
    else
      done(exec::RemoteReply{std::move(reply->body), reply->upload, reply->queue, reply->handler,
                             reply->download});
  };
  const auto sending = std::make_shared<Sending>();
  sending->bytes = request.body.bytes.size();
  const auto ended = impl_->ended(epoch, now, sending, expected, tell);
  const auto id = call.more == nullptr ? channel->start(std::move(request), ended)
                                       : impl_->stream(*channel, std::move(request), *call.more,
                                                       *sending, ended, tell);
  {
    // From now on the cloud has what it takes to answer.
    const std::lock_guard lock(impl_->mutex);
    if (!sending->over && epoch == impl_->epoch && !impl_->waiting_since)
      impl_->waiting_since = impl_->clock->now();
  }
  return {0, [over = std::weak_ptr(channel), id] {
            if (const auto alive = over.lock())
              alive->cancel(id);
          }};
}

bool CloudLink::available(const exec::RemoteChoice& choice) const {
  return (choice.avoid & 1) == 0 && (choice.model ? serves(*choice.model) : reachable());
}

void CloudLink::distrust(unsigned) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->breaker.failed(impl_->clock->now());
  }
  impl_->changed.notify_all();
}

bool CloudLink::reachable() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->usable();
}

std::optional<transport::LinkEstimate> CloudLink::link() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->estimator.estimate(impl_->clock->now());
}

std::optional<table::LinkState> CloudLink::estimate() const {
  const auto estimate = link();
  if (!estimate)
    return std::nullopt;
  return table::LinkState{estimate->round_trip, estimate->up, estimate->down};
}

Seconds CloudLink::queue() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->queue.estimate(impl_->clock->now());
}

bool CloudLink::serves(core::Fingerprint model) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->usable() && impl_->has(model);
}

core::Result<void> CloudLink::require(core::Fingerprint model) {
  {
    const std::lock_guard lock(impl_->mutex);
    if (std::find(impl_->required.begin(), impl_->required.end(), model) == impl_->required.end())
      impl_->required.push_back(model);
    if (!impl_->usable() || impl_->has(model))
      return {};
  }
  const auto description = describe();
  if (!description)
    return {};  // it has just gone, and is asked when it is back
  const std::lock_guard lock(impl_->mutex);
  impl_->served = description->models;
  if (impl_->has(model))
    return {};
  std::string names;
  for (const core::Fingerprint other : impl_->served)
    names += (names.empty() ? "" : ", ") + to_string(other);
  return fail(Errc::mismatch,
              "the cloud at " + impl_->where + " serves other models (" +
                  (names.empty() ? "none" : names) + ")",
              to_string(model), "give `cleave serve` the same model file");
}

std::string CloudLink::where() const {
  return impl_->where;
}

core::Result<void> CloudLink::wait_connected(Seconds timeout) {
  std::unique_lock lock(impl_->mutex);
  // Who is not let in now will not be by waiting.
  const auto denied = [this] {
    return impl_->last_error && impl_->last_error->code == Errc::permission_denied;
  };
  impl_->changed.wait_for(lock, duration(timeout), [&] { return impl_->usable() || denied(); });
  if (impl_->usable())
    return {};
  if (impl_->last_error)
    return tl::unexpected<core::Error>(*impl_->last_error);
  return fail(Errc::unavailable, "the cloud does not answer", impl_->where,
              "is `cleave serve` running there?");
}

core::Result<exec::HostDescription> CloudLink::describe() {
  const auto reply =
      call({exec::infer_service, exec::models_method, {}, 1, Seconds(0), Seconds(10)});
  if (!reply)
    return fail(reply);
  return exec::parse_description(reply->body);
}

CloudLinkState CloudLink::state() const {
  const std::lock_guard lock(impl_->mutex);
  return {impl_->breaker.state(), impl_->breaker.opened(), impl_->last_error};
}

}  // namespace cleave::inline v0::runtime
