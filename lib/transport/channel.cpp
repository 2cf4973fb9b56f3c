#include "lib/transport/connection.hpp"
#include "lib/transport/io_context_impl.hpp"

#include <cleave/transport/channel.hpp>

#include <atomic>
#include <future>
#include <set>
#include <unordered_map>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

core::Error error_of(Errc code, std::string what, std::string hint = {}) {
  return {code, std::move(what), {}, std::move(hint)};
}

// What lives on the I/O thread; the atomics are read from everywhere.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(asio::io_context& context, ChannelOptions options)
      : options_(std::move(options)),
        where_(options_.host + ":" + std::to_string(options_.port)),
        deadline_timer_(context),
        heartbeat_timer_(context) {}

  // `opened` is called once: when the peer is ready, or with why it never was.
  void start(tcp::socket socket, std::function<void(Result<void>)> opened) {
    opened_ = std::move(opened);
    connection_ = std::make_shared<Connection>(make_tcp_stream(std::move(socket), options_.unsent_low_water), options_.limits,
                                               options_.clock);
    const auto self = shared_from_this();
    connection_->start({[self](Event&& event) { self->on_event(std::move(event)); },
                        [self](const core::Error& why) { self->on_closed(why); }});
  }

  void begin(CallId id, Call call, Channel::Callback done) {
    if (!connection_ || !connection_->open()) {
      finish(done, fail(Errc::unavailable, "not connected", where_));
      return;
    }
    auto sent = connection_->protocol().request(
        {std::move(call.service), std::move(call.method), call.priority, call.remaining},
        std::move(call.body));
    if (!sent) {
      core::Error error = sent.error();
      if (error.where.empty())
        error.where = where_;
      finish(done, tl::unexpected(error));
      return;
    }
    Pending pending{std::move(done), *sent, 0};
    if (call.timeout > Seconds(0)) {
      pending.expires = (options_.clock->now() + call.timeout).count();
      deadlines_.emplace(pending.expires, id);
    }
    const bool arm = !deadlines_.empty() && deadlines_.begin()->second == id;
    by_request_.emplace(*sent, id);
    pending_.emplace(id, std::move(pending));
    if (arm)
      arm_deadline();
    connection_->flush();
  }

  void cancel(CallId id, core::Error why) {
    const auto found = pending_.find(id);
    if (found == pending_.end())
      return;
    connection_->protocol().cancel(found->second.request);
    const auto done = take(found);
    connection_->flush();
    finish(done, tl::unexpected(std::move(why)));
  }

  void check_timeouts() {
    const double now = options_.clock->now().count();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now)
      cancel(deadlines_.begin()->second,
             {Errc::timed_out, "no reply in time", where_, "the link or the server is slow"});
    arm_deadline();
  }

  void close(const core::Error& why) {
    if (connection_)
      connection_->close(why);
  }

  std::atomic<bool> connected{false};
  std::atomic<std::size_t> waiting{0};
  std::atomic<CallId> last_id{0};
  std::atomic<double> round_trip{-1};

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const ChannelOptions& options() const { return options_; }

 private:
  struct Pending {
    Channel::Callback done;
    std::uint64_t request = 0;
    double expires = 0;  // 0: never
  };

  void on_event(Event&& event) {
    if (auto* response = std::get_if<event::Response>(&event)) {
      answer(response->id,
             Response{std::move(response->body), response->times.upload, response->times.queue,
                      response->times.handler, response->download});
    } else if (auto* failed = std::get_if<event::Failed>(&event)) {
      if (failed->error.where.empty())
        failed->error.where = where_;
      answer(failed->id, tl::unexpected(std::move(failed->error)));
    } else if (auto* time = std::get_if<event::RoundTrip>(&event)) {
      round_trip = time->time.count();
      options_.metrics->observe("transport.ping_seconds", time->time.count());
    } else if (const auto* wanted = std::get_if<event::Wanted>(&event)) {
      // What is let go of later is granted anew by itself, up to the same bound.
      Protocol& protocol = connection_->protocol();
      protocol.grant(std::min(wanted->bytes, options_.limits.max_incoming -
                                                 std::min(options_.limits.max_incoming,
                                                          protocol.incoming_budget())));
    } else if (std::get_if<event::Ready>(&event) != nullptr) {
      connected = true;
      arm_heartbeat();
      report_opened({});
    } else if (auto* away = std::get_if<event::GoAway>(&event)) {
      if (opened_) {
        connection_->close(error_of(Errc::refused, "the server refused: " + away->reason));
      } else {
        connected = false;  // pending calls may still be answered; new ones belong elsewhere
        options_.log->log(core::Severity::info, "transport", where_ + ": " + away->reason);
      }
    } else if (auto* request = std::get_if<event::Request>(&event)) {
      connection_->protocol().respond_error(
          request->id, error_of(Errc::not_found, "this side offers no services"));
    }
  }

  void on_closed(const core::Error& why) {
    connected = false;
    deadline_timer_.cancel();
    heartbeat_timer_.cancel();
    core::Error error = why;
    if (opened_) {
      report_opened(tl::unexpected(error));
    } else {
      options_.log->log(core::Severity::info, "transport", error.message());
    }
    // To the callers a lost connection is one thing, whatever broke it.
    if (error.code != Errc::unavailable)
      error.hint = error.hint.empty() ? "connect again" : error.hint;
    error.code = Errc::unavailable;
    while (!pending_.empty()) finish(take(pending_.begin()), tl::unexpected(error));
  }

  void report_opened(const Result<void>& result) {
    const auto opened = std::move(opened_);
    opened_ = nullptr;
    if (opened)
      opened(result);
  }

  void answer(std::uint64_t request, Result<Response> result) {
    const auto id = by_request_.find(request);
    if (id != by_request_.end())
      finish(take(pending_.find(id->second)), std::move(result));
  }

  Channel::Callback take(std::unordered_map<CallId, Pending>::iterator found) {
    by_request_.erase(found->second.request);
    if (found->second.expires != 0)
      deadlines_.erase({found->second.expires, found->first});
    Channel::Callback done = std::move(found->second.done);
    pending_.erase(found);
    return done;
  }

  void finish(const Channel::Callback& done, Result<Response> result) {
    --waiting;
    options_.metrics->add(result ? "transport.calls" : "transport.failed_calls");
    done(std::move(result));
  }

  void arm_deadline() {
    if (deadlines_.empty())
      return;
    // At least a millisecond, for a clock that is not this timer's.
    const double wait = std::max(1e-3, deadlines_.begin()->first - options_.clock->now().count());
    deadline_timer_.expires_after(duration_of(Seconds(std::min(wait, 3600.0))));
    deadline_timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self)
        self->check_timeouts();
    });
  }

  void arm_heartbeat() {
    if (options_.heartbeat <= Seconds(0))
      return;
    heartbeat_timer_.expires_after(duration_of(options_.heartbeat));
    heartbeat_timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (error || !self || !self->connection_->open())
        return;
      const Seconds now = self->options_.clock->now();
      if (now - self->connection_->last_heard() > self->options_.heartbeat * 3.0) {
        self->connection_->close(error_of(Errc::unavailable, "the peer went silent"));
        return;
      }
      self->connection_->protocol().ping(now);
      self->connection_->flush();
      self->arm_heartbeat();
    });
  }

  const ChannelOptions options_;
  const std::string where_;
  std::shared_ptr<Connection> connection_;
  std::function<void(Result<void>)> opened_;
  std::unordered_map<CallId, Pending> pending_;
  std::unordered_map<std::uint64_t, CallId> by_request_;
  std::set<std::pair<double, CallId>> deadlines_;
  asio::steady_timer deadline_timer_, heartbeat_timer_;
};

}  // namespace

// The I/O thread is owned out here and not by what lives on it, so that it is joined by whoever
// destroys the channel.
struct Channel::Impl {
  std::shared_ptr<IoContext> io;
  std::shared_ptr<Core> core;
};

namespace {

// Resolves, connects and says hello, against one timer.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  using Done = std::function<void(Result<std::shared_ptr<Core>>)>;

  Attempt(std::shared_ptr<IoContext::Impl> io, ChannelOptions options, Done done)
      : io_(io.get()),
        options_(std::move(options)),
        where_(options_.host + ":" + std::to_string(options_.port)),
        done_(std::move(done)),
        timer_(io_->context),
        resolver_(io_->context),
        socket_(io_->context) {}

  // On the I/O thread.
  void start() {
    timer_.expires_after(duration_of(options_.connect_timeout));
    timer_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error)
        self->finish(fail(Errc::timed_out, "no connection in time", self->where_,
                          "is the server up, and does a firewall let it through?"));
    });
    asio::co_spawn(
        io_->context, [self = shared_from_this()] { return self->connect(); }, asio::detached);
  }

 private:
  asio::awaitable<void> connect() {
    const auto self = shared_from_this();
    error_code error;
    std::vector<tcp::endpoint> endpoints;
    const auto numeric = asio::ip::make_address(options_.host, error);
    if (!error) {
      endpoints.emplace_back(numeric, options_.port);
    } else {
      const auto found =
          co_await resolver_.async_resolve(options_.host, std::to_string(options_.port),
                                           asio::redirect_error(asio::use_awaitable, error));
      if (!done_)
        co_return;
      if (error) {
        finish(
            fail(Errc::unavailable, "no such host: " + error.message(), where_, "check the name"));
        co_return;
      }
      for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    }
    co_await asio::async_connect(socket_, endpoints,
                                 asio::redirect_error(asio::use_awaitable, error));
    if (!done_)
      co_return;
    if (error) {
      finish(fail(Errc::unavailable, "cannot connect: " + error.message(), where_,
                  "is the server running there?"));
      co_return;
    }
    core_ = std::make_shared<Core>(io_->context, options_);
    core_->start(std::move(socket_), [self](const Result<void>& opened) {
      if (opened)
        self->finish(self->core_);
      else
        self->finish(fail(opened));
    });
  }

  void finish(Result<std::shared_ptr<Core>> result) {
    const Done done = std::move(done_);
    done_ = nullptr;
    if (!done)
      return;
    timer_.cancel();
    resolver_.cancel();
    error_code ignored;
    socket_.close(ignored);
    const auto core = std::move(core_);
    if (!result && core)
      core->close(result.error());
    done(std::move(result));
  }

  IoContext::Impl* io_;
  ChannelOptions options_;
  const std::string where_;
  Done done_;
  std::shared_ptr<Core> core_;
  asio::steady_timer timer_;
  tcp::resolver resolver_;
  tcp::socket socket_;
};

ChannelOptions completed(ChannelOptions options) {
  options.io = nullptr;  // held outside
  if (!options.clock)
    options.clock = std::make_shared<core::SteadyClock>();
  return options;
}

void begin_attempt(const std::shared_ptr<IoContext>& io, ChannelOptions options,
                   Attempt::Done done) {
  const auto attempt =
      std::make_shared<Attempt>(io->impl(), completed(std::move(options)), std::move(done));
  asio::post(io->impl()->context, [attempt] { attempt->start(); });
}

}  // namespace

Channel::Channel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Channel::~Channel() {
  const auto close = [core = impl_->core] {
    core->close(error_of(Errc::unavailable, "the channel was closed"));
  };
  if (impl_->io->on_thread()) {
    close();
    return;
  }
  std::promise<void> closed;
  asio::post(impl_->io->impl()->context, [&] {
    close();
    closed.set_value();
  });
  closed.get_future().wait();
}

Result<std::shared_ptr<Channel>> Channel::connect(ChannelOptions options) {
  const auto io = or_own(options.io);
  if (io->on_thread())
    return fail(Errc::invalid_argument, "connect() blocks and was called from a callback", {},
                "use connect_async()");
  const auto promise = std::make_shared<std::promise<Result<std::shared_ptr<Core>>>>();
  auto connected = promise->get_future();
  begin_attempt(io, std::move(options), [promise](Result<std::shared_ptr<Core>> core) {
    promise->set_value(std::move(core));
  });
  auto core = connected.get();
  if (!core)
    return fail(core);
  return std::make_shared<Channel>(std::make_unique<Impl>(Impl{io, std::move(*core)}));
}

void Channel::connect_async(ChannelOptions options, ConnectCallback done) {
  const auto io = or_own(options.io);
  begin_attempt(
      io, std::move(options), [io, done = std::move(done)](Result<std::shared_ptr<Core>> core) {
        if (core)
          done(std::make_shared<Channel>(std::make_unique<Impl>(Impl{io, std::move(*core)})));
        else
          done(fail(core));
      });
}

CallId Channel::start(Call call, Callback done) {
  const auto& core = impl_->core;
  const CallId id = ++core->last_id;
  ++core->waiting;
  asio::post(impl_->io->impl()->context,
             [core, id, call = std::move(call), done = std::move(done)]() mutable {
               core->begin(id, std::move(call), std::move(done));
             });
  return id;
}

Result<Response> Channel::call(Call call) {
  if (impl_->io->on_thread())
    return fail(Errc::invalid_argument, "call() blocks and was called from a callback", {},
                "use start()");
  const auto promise = std::make_shared<std::promise<Result<Response>>>();
  auto answered = promise->get_future();
  start(std::move(call),
        [promise](Result<Response> response) { promise->set_value(std::move(response)); });
  return answered.get();
}

void Channel::cancel(CallId id) {
  asio::post(impl_->io->impl()->context, [core = impl_->core, id] {
    core->cancel(id, {Errc::cancelled, "cancelled", core->where(), {}});
  });
}

bool Channel::connected() const {
  return impl_->core->connected;
}

std::optional<Seconds> Channel::round_trip() const {
  const double seconds = impl_->core->round_trip;
  return seconds < 0 ? std::nullopt : std::optional(Seconds(seconds));
}

std::size_t Channel::pending() const {
  return impl_->core->waiting;
}

void Channel::check_timeouts() {
  asio::post(impl_->io->impl()->context, [core = impl_->core] { core->check_timeouts(); });
}

}  // namespace cleave::inline v0::transport
