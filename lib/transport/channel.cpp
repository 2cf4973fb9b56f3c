#include "lib/transport/answers.hpp"
#include "lib/transport/calls.hpp"
#include "lib/transport/connection.hpp"
#include "lib/transport/gate.hpp"
#include "lib/transport/io_context_impl.hpp"
#include "lib/transport/tls_context.hpp"

#include <cleave/transport/channel.hpp>

#include <pthread.h>

#include <atomic>
#include <future>
#include <system_error>
#include <thread>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

core::Error error_of(Errc code, std::string what, std::string hint = {}) {
  return {code, std::move(what), {}, std::move(hint)};
}

// What lives in the I/O thread's section.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(std::weak_ptr<IoContext::Impl> io, const asio::any_io_executor& executor,
       ChannelOptions options, std::shared_ptr<const TlsContext> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        where_(options_.host + ":" + std::to_string(options_.port)),
        io_(std::move(io)),
        heartbeat_timer_(executor) {}

  // `opened` is called once: when the peer is ready, or with why it never was.
  void start(tcp::socket socket, std::function<void(Result<void>)> opened) {
    opened_ = std::move(opened);
    const std::uint32_t low_water = options_.unsent_low_water;
    connection_ =
        std::make_shared<Connection>(tls_ ? make_tls_stream(std::move(socket), tls_, low_water)
                                          : make_tcp_stream(std::move(socket), low_water),
                                     options_.limits, options_.clock);
    // An empty one, too: a server that wants a token says so only when it has heard one.
    connection_->protocol().authenticate(options_.security.token);
    calls_ = std::make_shared<Calls>(connection_, options_.clock, options_.metrics, where_);
    handle_ = std::make_shared<CallsHandle>(io_, calls_, where_);
    answers_ = std::make_shared<Answers>(connection_, io_);
    const auto self = shared_from_this();
    connection_->start({[self](Event&& event) { self->on_event(std::move(event)); },
                        [self](const core::Error& why) { self->on_closed(why); }});
  }

  void close(const core::Error& why) {
    if (connection_)
      connection_->close(why);
  }

  std::atomic<double> round_trip{-1};

  // Once it is opened.
  [[nodiscard]] const std::shared_ptr<CallsHandle>& handle() const { return handle_; }

 private:
  void on_event(Event&& event) {
    if (calls_->take(event))
      return;
    if (auto* time = std::get_if<event::RoundTrip>(&event)) {
      round_trip = time->time.count();
      options_.metrics->observe("transport.ping_seconds", time->time.count());
    } else if (const auto* wanted = std::get_if<event::Wanted>(&event)) {
      // What is let go of later is granted anew by itself, up to the same bound.
      Protocol& protocol = connection_->protocol();
      protocol.grant(std::min(
          wanted->bytes, options_.limits.max_incoming -
                             std::min(options_.limits.max_incoming, protocol.incoming_budget())));
    } else if (std::get_if<event::Ready>(&event) != nullptr) {
      handle_->set_connected(true);
      arm_heartbeat();
      report_opened({});
    } else if (auto* away = std::get_if<event::GoAway>(&event)) {
      if (opened_) {
        const bool token = away->reason == not_authorised;
        connection_->close(error_of(
            token ? Errc::permission_denied : Errc::refused, "the server refused: " + away->reason,
            token ? "give the token that the server's operator gave out (--token-file)" : ""));
      } else {
        // Pending calls may still be answered; new ones belong elsewhere.
        handle_->set_connected(false);
        options_.log->log(core::Severity::info, "transport", where_ + ": " + away->reason);
      }
    } else if (auto* request = std::get_if<event::Request>(&event)) {
      serve(std::move(*request));
    } else if (const auto* cancelled = std::get_if<event::Cancelled>(&event)) {
      answers_->cancel(cancelled->id);
    }
  }

  void serve(event::Request&& request) {
    for (const Service& service : options_.services) {
      if (service.service != request.head.service || service.method != request.head.method)
        continue;
      const auto flag = answers_->expect(request.id);
      service.handler(
          {std::move(request.body), request.head.priority, request.head.remaining, Seconds(0),
           connection_->peer(), flag, handle_},
          Responder(std::make_unique<Responder::Impl>(Responder::Impl{
              answers_->to(request.id, request.upload), options_.clock, options_.clock->now()})));
      return;
    }
    connection_->protocol().respond_error(request.id,
                                          {Errc::not_found,
                                           "this side offers no such service",
                                           request.head.service + "/" + request.head.method,
                                           {}});
  }

  void on_closed(const core::Error& why) {
    handle_->set_connected(false);
    heartbeat_timer_.cancel();
    answers_->cancel_all();
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
    calls_->fail_all(error);
  }

  void report_opened(const Result<void>& result) {
    const auto opened = std::move(opened_);
    opened_ = nullptr;
    if (opened)
      opened(result);
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
  const std::shared_ptr<const TlsContext> tls_;  // null: plaintext
  const std::string where_;
  const std::weak_ptr<IoContext::Impl> io_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Calls> calls_;
  std::shared_ptr<CallsHandle> handle_;
  std::shared_ptr<Answers> answers_;
  std::function<void(Result<void>)> opened_;
  asio::steady_timer heartbeat_timer_;
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

  Attempt(std::shared_ptr<IoContext::Impl> io, ChannelOptions options,
          std::shared_ptr<const TlsContext> tls, Done done)
      : io_(io.get()),
        weak_io_(io),
        options_(std::move(options)),
        tls_(std::move(tls)),
        where_(options_.host + ":" + std::to_string(options_.port)),
        done_(std::move(done)),
        timer_(io_->executor()),
        found_(io_->executor(), asio::steady_timer::time_point::max()),
        socket_(io_->executor()) {}

  // On the I/O thread.
  void start() {
    if (!done_)
      return;
    timer_.expires_after(duration_of(options_.connect_timeout));
    timer_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error)
        self->finish(fail(Errc::timed_out, "no connection in time", self->where_,
                          "is the server up, and does a firewall let it through?"));
    });
    asio::co_spawn(
        io_->executor(), [self = shared_from_this()] { return self->connect(); }, asio::detached);
  }

  // On the I/O thread.
  void cancel() { finish(fail(Errc::cancelled, "cancelled", where_)); }

 private:
  asio::awaitable<void> connect() {
    const auto self = shared_from_this();
    error_code error;
    const auto numeric = asio::ip::make_address(options_.host, error);
    if (!error) {
      endpoints_.emplace_back(numeric, options_.port);
    } else {
      if (auto begun = look_up(); !begun) {
        finish(fail(begun));
        co_return;
      }
      error_code cancelled;
      co_await found_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
      if (!done_)
        co_return;
      if (no_host_) {
        finish(fail(Errc::unavailable, "no such host: " + no_host_.message(), where_,
                    "check the name"));
        co_return;
      }
    }
    co_await asio::async_connect(socket_, endpoints_,
                                 asio::redirect_error(asio::use_awaitable, error));
    if (!done_)
      co_return;
    if (error) {
      finish(fail(Errc::unavailable, "cannot connect: " + error.message(), where_,
                  "is the server running there?"));
      co_return;
    }
    if (auto safe = check_plaintext(); !safe) {
      finish(fail(safe));
      co_return;
    }
    core_ = std::make_shared<Core>(weak_io_, io_->executor(), options_, tls_);
    core_->start(std::move(socket_), [self](const Result<void>& opened) {
      if (opened)
        self->finish(self->core_);
      else
        self->finish(fail(opened));
    });
  }

  // getaddrinfo() takes as long as a name server that is not there lets it, and cannot be stopped.
  // Asio's resolver would have whoever destroys the I/O thread wait for it: here a thread of its
  // own is left behind, which owns nothing but the name. It ends found_'s wait.
  Result<void> look_up() {
    const auto work = [weak = weak_from_this(), weak_io = weak_io_, host = options_.host,
                       port = std::to_string(options_.port)] {
      pthread_setname_np(pthread_self(), "cleave-name");
      asio::io_context context;
      error_code error;
      std::vector<tcp::endpoint> endpoints;
      for (const auto& entry : tcp::resolver(context).resolve(host, port, error))
        endpoints.push_back(entry.endpoint());
      if (const auto io = weak_io.lock())
        asio::post(io->executor(), [weak, error, endpoints = std::move(endpoints)]() mutable {
          const auto self = weak.lock();
          if (!self)
            return;
          self->no_host_ = error;
          self->endpoints_ = std::move(endpoints);
          self->found_.cancel();
        });
    };
    try {
      std::thread(work).detach();
    } catch (const std::system_error& e) {
      return fail(Errc::exhausted, std::string("no thread to look up the host: ") + e.what(),
                  where_);
    }
    return {};
  }

  // Where the socket has led to, whatever the host is called.
  [[nodiscard]] Result<void> check_plaintext() const {
    error_code error;
    const auto to = socket_.remote_endpoint(error);
    if (tls_ || error || to.address().is_loopback())
      return {};
    if (options_.security.tls == Tls::automatic)
      return fail(Errc::permission_denied, "plaintext would leave this machine", where_,
                  "use TLS, or say that plaintext is meant (--insecure)");
    if (!options_.security.token.empty())
      return fail(Errc::permission_denied, "the token would cross the network unencrypted", where_,
                  "use TLS, or no token");
    return {};
  }

  void finish(Result<std::shared_ptr<Core>> result) {
    const Done done = std::move(done_);
    done_ = nullptr;
    if (!done)
      return;
    timer_.cancel();
    found_.cancel();
    error_code ignored;
    socket_.close(ignored);
    const auto core = std::move(core_);
    if (!result && core)
      core->close(result.error());
    done(std::move(result));
  }

  IoContext::Impl* io_;
  const std::weak_ptr<IoContext::Impl> weak_io_;
  ChannelOptions options_;
  std::shared_ptr<const TlsContext> tls_;
  const std::string where_;
  Done done_;
  std::shared_ptr<Core> core_;
  asio::steady_timer timer_;
  asio::steady_timer found_;  // never expires
  error_code no_host_;
  std::vector<tcp::endpoint> endpoints_;
  tcp::socket socket_;
};

ChannelOptions completed(ChannelOptions options) {
  options.io = nullptr;  // held outside
  if (!options.clock)
    options.clock = std::make_shared<core::SteadyClock>();
  return options;
}

// What must hold before anything is sent, and what TLS needs of files.
Result<std::shared_ptr<const TlsContext>> open_tls(const ChannelOptions& options) {
  const ClientSecurity& security = options.security;
  if (!security.token.empty())
    if (auto line = token_line(security.token, {}); !line)
      return fail(line);
  if (uses_tls(security, options.host))
    return TlsContext::for_client(security, options.host);
  if (!security.ca_file.empty() || !security.certificate_file.empty() ||
      !security.server_name.empty())
    return fail(Errc::invalid_argument, "certificates are of no use without TLS", options.host,
                "drop them, or do not turn TLS off (--insecure)");
  return nullptr;
}

// Null where the options are no good: `done` is told so.
std::shared_ptr<Attempt> begin_attempt(const std::shared_ptr<IoContext>& io, ChannelOptions options,
                                       Attempt::Done done) {
  auto tls = open_tls(options);
  if (!tls) {
    asio::post(io->impl()->executor(),
               [done = std::move(done), error = tls.error()] { done(tl::unexpected(error)); });
    return nullptr;
  }
  const auto attempt = std::make_shared<Attempt>(io->impl(), completed(std::move(options)),
                                                 std::move(*tls), std::move(done));
  asio::post(io->impl()->executor(), [attempt] { attempt->start(); });
  return attempt;
}

}  // namespace

Channel::Channel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Channel::~Channel() {
  const auto& io = impl_->io->impl();
  io->run([&] { impl_->core->close(error_of(Errc::unavailable, "the channel was closed")); });
  // What was begun on a connection that was closed already is refused after that (Calls::refuse).
  io->run([] {});
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

std::function<void()> Channel::connect_async(ChannelOptions options, ConnectCallback done) {
  const auto io = or_own(options.io);
  const std::weak_ptr<Attempt> attempt = begin_attempt(
      io, std::move(options), [io, done = std::move(done)](Result<std::shared_ptr<Core>> core) {
        if (core)
          done(std::make_shared<Channel>(std::make_unique<Impl>(Impl{io, std::move(*core)})));
        else
          done(fail(core));
      });
  return [attempt, weak_io = std::weak_ptr(io)] {
    if (const auto alive = weak_io.lock())
      alive->impl()->run([&] {
        if (const auto under_way = attempt.lock())
          under_way->cancel();
      });
  };
}

CallId Channel::start(Call call, Callback done) {
  return impl_->core->handle()->start(std::move(call), std::move(done));
}

struct OutgoingBody::Impl {
  std::shared_ptr<CallsHandle> calls;
  CallId id = 0;
};

OutgoingBody::OutgoingBody(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OutgoingBody::OutgoingBody(OutgoingBody&&) noexcept = default;

OutgoingBody& OutgoingBody::operator=(OutgoingBody&& other) noexcept {
  if (this != &other) {
    if (impl_)
      impl_->calls->cancel(impl_->id);
    impl_ = std::move(other.impl_);
  }
  return *this;
}

OutgoingBody::~OutgoingBody() {
  if (impl_)
    impl_->calls->cancel(impl_->id);
}

void OutgoingBody::write(SharedBytes piece) {
  if (impl_)
    impl_->calls->append(impl_->id, std::move(piece));
}

void OutgoingBody::finish() {
  if (const auto impl = std::move(impl_))
    impl->calls->finish(impl->id);
}

CallId OutgoingBody::id() const {
  return impl_ ? impl_->id : 0;
}

OutgoingBody Channel::start_streamed(Call call, std::uint64_t bound, Callback done) {
  const auto& calls = impl_->core->handle();
  const CallId id = calls->start(std::move(call), bound, std::move(done));
  return OutgoingBody(std::make_unique<OutgoingBody::Impl>(OutgoingBody::Impl{calls, id}));
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
  impl_->core->handle()->cancel(id);
}

bool Channel::connected() const {
  return impl_->core->handle()->connected();
}

std::optional<Seconds> Channel::round_trip() const {
  const double seconds = impl_->core->round_trip;
  return seconds < 0 ? std::nullopt : std::optional(Seconds(seconds));
}

std::size_t Channel::pending() const {
  return impl_->core->handle()->pending();
}

void Channel::check_timeouts() {
  impl_->core->handle()->check_timeouts();
}

}  // namespace cleave::inline v0::transport
