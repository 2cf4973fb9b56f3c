#include "lib/transport/connection.hpp"
#include "lib/transport/io_context_impl.hpp"
#include "lib/transport/worker_pool.hpp"

#include <cleave/transport/server.hpp>

#include <future>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <variant>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

using Body = std::vector<std::byte>;

// One peer. Lives on the I/O thread.
struct Session {
  std::shared_ptr<Connection> connection;
  std::unordered_map<std::uint64_t, std::shared_ptr<std::atomic<bool>>> cancelled;  // by request
  bool refused = false;
};

// Where the answer of one request goes, from whatever thread.
struct ReplyTo {
  std::weak_ptr<IoContext::Impl> io;
  std::weak_ptr<Session> session;
  std::uint64_t id = 0;
  Seconds upload;

  void send(Result<Body> reply, Seconds queue, Seconds handler) const {
    const auto context = io.lock();
    if (!context)
      return;
    asio::post(context->context, [to = *this, reply = std::move(reply), queue, handler]() mutable {
      const auto peer = to.session.lock();
      if (!peer || !peer->connection->open())
        return;
      peer->cancelled.erase(to.id);
      Protocol& protocol = peer->connection->protocol();
      if (reply)
        protocol.respond(to.id, std::move(*reply), {to.upload, queue, handler});
      else
        protocol.respond_error(to.id, reply.error());
      peer->connection->flush();
    });
  }
};

// "No exception crosses": what escapes from a handler becomes the request's answer.
Result<Body> run(const Server::Handler& handler, const Incoming& incoming) {
  try {
    return handler(incoming);
  } catch (const std::exception& e) {
    return fail(Errc::internal, std::string("the handler failed: ") + e.what());
  } catch (...) {
    return fail(Errc::internal, "the handler failed");
  }
}

}  // namespace

struct Responder::Impl {
  ReplyTo to;
  std::shared_ptr<const core::Clock> clock;
  Seconds arrived;
};

Responder::Responder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Responder::Responder(Responder&&) noexcept = default;

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this != &other) {
    answer(fail(Errc::internal, "the request was dropped unanswered"));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Responder::~Responder() {
  answer(fail(Errc::internal, "the request was dropped unanswered"));
}

void Responder::answer(Result<Body> reply) {
  if (!impl_)
    return;
  const auto impl = std::move(impl_);
  impl->to.send(std::move(reply), Seconds(0), impl->clock->now() - impl->arrived);
}

namespace {

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(const std::shared_ptr<IoContext>& io, ServerOptions given)
      : options(std::move(given)),
        pool(options.workers, options.max_queued, options.clock),
        io_(io->impl()),
        context_(io->impl()->context),
        acceptor_(context_),
        drain_timer_(context_) {}

  Result<void> listen() {
    if (auto done = listen_on(acceptor_, options.address, options.port); !done)
      return done;
    error_code error;
    port = acceptor_.local_endpoint(error).port();
    return {};
  }

  void start() {
    asio::co_spawn(
        context_, [self = shared_from_this()] { return self->accept_loop(); }, asio::detached);
  }

  void set(std::pair<std::string, std::string> name,
           std::variant<Server::Handler, Server::AsyncHandler> handler) {
    const std::lock_guard lock(mutex_);
    handlers_[std::move(name)] =
        std::make_shared<std::variant<Server::Handler, Server::AsyncHandler>>(std::move(handler));
  }

  // On the I/O thread: no new connections, no new requests.
  void stop_accepting() {
    error_code ignored;
    acceptor_.close(ignored);
    stopping_ = true;
    for (const auto& session : copy()) {
      session->connection->protocol().go_away("the server shuts down");
      session->connection->flush();
    }
  }

  // On the I/O thread: closes each connection when all is written, and all of them in the end.
  void drain(std::function<void()> drained) {
    drained_ = std::move(drained);
    const core::Error why{Errc::unavailable, "the server shuts down", {}, {}};
    for (const auto& session : copy()) session->connection->close_when_flushed(why);
    drain_timer_.expires_after(duration_of(options.drain_timeout));
    drain_timer_.async_wait([self = shared_from_this(), why](const error_code& error) {
      if (!error)
        for (const auto& session : self->copy()) session->connection->close(why);
    });
    check_drained();
  }

  const ServerOptions options;
  WorkerPool pool;
  std::uint16_t port = 0;
  std::atomic<std::size_t> connections{0};
  std::atomic<std::uint64_t> refused{0};

 private:
  // Refused peers are told why; so many at a time, and no more.
  static constexpr std::size_t most_refusals = 32;

  std::vector<std::shared_ptr<Session>> copy() const {
    return {sessions_.begin(), sessions_.end()};
  }

  asio::awaitable<void> accept_loop() {
    const auto self = shared_from_this();
    while (acceptor_.is_open()) {
      error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor_.is_open())
        break;
      if (!error) {
        welcome(std::move(socket));
        continue;
      }
      // Out of descriptors, mostly: others must close first.
      options.log->log(core::Severity::warning, "transport", "cannot accept: " + error.message());
      asio::steady_timer pause(context_, std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  void welcome(tcp::socket socket) {
    const bool full = sessions_.size() - refusals_ >= options.max_connections;
    if (full)
      ++refused;
    if (full && refusals_ >= most_refusals)
      return;
    const auto session = std::make_shared<Session>();
    session->connection = std::make_shared<Connection>(make_tcp_stream(std::move(socket), options.unsent_low_water),
                                                       options.limits, options.clock);
    session->refused = full;
    sessions_.insert(session);
    if (full) {
      ++refusals_;
      session->connection->protocol().refuse("too many connections");
      options.log->log(core::Severity::warning, "transport",
                       session->connection->peer() + ": refused, too many connections");
    } else {
      ++connections;
    }
    const auto self = shared_from_this();
    // The session is held by the set; the handlers hold it only weakly.
    const std::weak_ptr<Session> weak = session;
    session->connection->start({[self, weak](Event&& event) {
                                  if (const auto s = weak.lock())
                                    self->on_event(s, std::move(event));
                                },
                                [self, weak](const core::Error& why) {
                                  if (const auto s = weak.lock())
                                    self->on_closed(s, why);
                                }});
    watch_handshake(weak);
  }

  void watch_handshake(const std::weak_ptr<Session>& weak) {
    const auto timer = std::make_shared<asio::steady_timer>(context_);
    timer->expires_after(duration_of(options.handshake_timeout));
    timer->async_wait([timer, weak](const error_code&) {
      const auto session = weak.lock();
      if (session && (!session->connection->protocol().ready() || session->refused))
        session->connection->close({Errc::timed_out, "no hello in time", {}, {}});
    });
  }

  void on_event(const std::shared_ptr<Session>& session, Event&& event) {
    if (session->refused) {
      // The peer has spoken, so closing will not reset what it is told.
      session->connection->close_when_flushed({Errc::refused, "too many connections", {}, {}});
    } else if (auto* request = std::get_if<event::Request>(&event)) {
      serve(session, std::move(*request));
    } else if (const auto* wanted = std::get_if<event::Wanted>(&event)) {
      Protocol& protocol = session->connection->protocol();
      protocol.grant(std::min(wanted->bytes, options.limits.max_incoming -
                                                 std::min(options.limits.max_incoming,
                                                          protocol.incoming_budget())));
    } else if (auto* cancelled = std::get_if<event::Cancelled>(&event)) {
      const auto found = session->cancelled.find(cancelled->id);
      if (found != session->cancelled.end()) {
        *found->second = true;
        session->cancelled.erase(found);
      }
    }
  }

  void on_closed(const std::shared_ptr<Session>& session, const core::Error& why) {
    for (auto& [id, flag] : session->cancelled) *flag = true;
    if (session->refused)
      --refusals_;
    else
      --connections;
    sessions_.erase(session);
    if (why.code != Errc::unavailable)
      options.log->log(core::Severity::warning, "transport", why.message());
    check_drained();
  }

  void check_drained() {
    if (!drained_ || !sessions_.empty())
      return;
    drain_timer_.cancel();
    const auto drained = std::move(drained_);
    drained_ = nullptr;
    drained();
  }

  void serve(const std::shared_ptr<Session>& session, event::Request&& request) {
    std::shared_ptr<const std::variant<Server::Handler, Server::AsyncHandler>> handler;
    {
      const std::lock_guard lock(mutex_);
      const auto found = handlers_.find({request.head.service, request.head.method});
      if (found != handlers_.end())
        handler = found->second;
    }
    Protocol& protocol = session->connection->protocol();
    if (!handler) {
      protocol.respond_error(request.id, {Errc::not_found, "no such service",
                                          request.head.service + "/" + request.head.method,
                                          "is the server of the same version?"});
      return;
    }
    const Seconds now = options.clock->now();
    const auto flag = std::make_shared<std::atomic<bool>>(false);
    session->cancelled.emplace(request.id, flag);
    const ReplyTo to{io_, session, request.id, request.upload};
    const auto incoming = std::make_shared<Incoming>(
        Incoming{std::move(request.body), request.head.priority, request.head.remaining,
                 session->connection->peer(), flag});
    if (const auto* async = std::get_if<Server::AsyncHandler>(handler.get())) {
      (*async)(
          std::move(*incoming),
          Responder(std::make_unique<Responder::Impl>(Responder::Impl{to, options.clock, now})));
      return;
    }
    Job job;
    job.priority = request.head.priority;
    job.arrived = now;
    if (request.head.remaining > Seconds(0))
      job.expires = now + request.head.remaining;
    job.cancelled = flag;
    job.run = [this, handler, incoming, to, now](Seconds queued) {
      // At least a microsecond: 0 would say that there is no deadline.
      if (incoming->remaining > Seconds(0))
        incoming->remaining = std::max(Seconds(1e-6), incoming->remaining - queued);
      auto reply = run(std::get<Server::Handler>(*handler), *incoming);
      const Seconds took = options.clock->now() - now - queued;
      options.metrics->observe("transport.queue_seconds", queued.count());
      options.metrics->observe("transport.handler_seconds", took.count());
      to.send(std::move(reply), queued, took);
    };
    job.drop = [to] {
      to.send(fail(Errc::timed_out, "its time had passed before a worker was free"), Seconds(0),
              Seconds(0));
    };
    if (!pool.submit(std::move(job))) {
      ++refused;
      session->cancelled.erase(request.id);
      protocol.respond_error(request.id,
                             {Errc::refused,
                              stopping_ ? "the server shuts down" : "too many requests are waiting",
                              {},
                              {}});
    }
  }

  const std::weak_ptr<IoContext::Impl> io_;
  asio::io_context& context_;
  tcp::acceptor acceptor_;
  asio::steady_timer drain_timer_;
  std::set<std::shared_ptr<Session>> sessions_;
  std::size_t refusals_ = 0;
  bool stopping_ = false;
  std::function<void()> drained_;
  std::mutex mutex_;  // of handlers_
  std::map<std::pair<std::string, std::string>,
           std::shared_ptr<const std::variant<Server::Handler, Server::AsyncHandler>>>
      handlers_;
};

}  // namespace

// The I/O thread is owned out here, so that it is joined by whoever destroys the server.
struct Server::Impl {
  std::shared_ptr<IoContext> io;
  std::shared_ptr<Core> core;
  std::once_flag stopped;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options) {
  if (options.workers < 1)
    return fail(Errc::invalid_argument, "a server needs at least one worker");
  if (!options.clock)
    options.clock = std::make_shared<core::SteadyClock>();
  auto impl = std::make_unique<Impl>();
  impl->io = or_own(options.io);
  options.io = nullptr;  // held outside
  impl->core = std::make_shared<Core>(impl->io, std::move(options));
  if (auto done = impl->core->listen(); !done)
    return fail(done);
  asio::post(impl->io->impl()->context, [core = impl->core] { core->start(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::handle(std::string service, std::string method, Handler handler) {
  impl_->core->set({std::move(service), std::move(method)}, std::move(handler));
}

void Server::handle_async(std::string service, std::string method, AsyncHandler handler) {
  impl_->core->set({std::move(service), std::move(method)}, std::move(handler));
}

std::uint16_t Server::port() const {
  return impl_->core->port;
}

ServerLoad Server::load() const {
  const auto& core = *impl_->core;
  const WorkerPool::State state = core.pool.state();
  return {core.connections, state.queued,  state.running, state.expected_wait,
          state.done,       state.dropped, core.refused};
}

void Server::stop() {
  std::call_once(impl_->stopped, [this] {
    auto& context = impl_->io->impl()->context;
    const auto& core = impl_->core;
    std::promise<void> told, drained;
    asio::post(context, [&] {
      core->stop_accepting();
      told.set_value();
    });
    told.get_future().wait();
    core->pool.finish();
    asio::post(context, [&] { core->drain([&] { drained.set_value(); }); });
    drained.get_future().wait();
  });
}

}  // namespace cleave::inline v0::transport
