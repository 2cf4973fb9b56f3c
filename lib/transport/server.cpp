#include "lib/transport/answers.hpp"
#include "lib/transport/body_pool.hpp"
#include "lib/transport/calls.hpp"
#include "lib/transport/credit_pool.hpp"
#include "lib/transport/doorkeeper.hpp"
#include "lib/transport/io_context_impl.hpp"
#include "lib/transport/serial_worker.hpp"
#include "lib/transport/worker_pool.hpp"

#include <cleave/transport/server.hpp>

#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <variant>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

using AnyHandler = std::variant<Handler, AsyncHandler, SinkFactory>;

// One peer. Lives in the I/O thread's section.
struct Session {
  std::shared_ptr<Connection> connection;
  std::shared_ptr<Calls> calls;
  std::shared_ptr<CallsHandle> handle;
  std::shared_ptr<Answers> answers;
  std::optional<Doorkeeper::Visit> visit;  // unless it is refused
  std::string refusal;
};

// Bodies of this bound, and smaller ones, are not worth another hand-over between threads.
constexpr std::uint64_t most_whole = 256U << 10;

// A request whose body goes into a sink as it arrives: there on the decoder's thread, then to a
// worker.
struct Streaming {
  std::unique_ptr<BodySink> sink;
  std::shared_ptr<std::atomic<bool>> cancelled;
  Answers::To to;
  bool failed = false;  // and answered
  Seconds behind;
};

// "No exception crosses": what escapes from a handler becomes the request's answer.
template <class F>
auto guarded(const F& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& e) {
    return fail(Errc::internal, std::string("the handler failed: ") + e.what());
  } catch (...) {
    return fail(Errc::internal, "the handler failed");
  }
}

core::Error no_such_service(const RequestHead& head) {
  return {Errc::not_found, "no such service", head.service + "/" + head.method,
          "is the server of the same version?"};
}

Result<void> check_memory(const ServerOptions& options) {
  const std::uint64_t first = options.limits.first_credit * options.max_connections;
  if (options.max_memory >= first && options.max_memory - first >= options.limits.max_body)
    return {};
  return fail(Errc::invalid_argument,
              "max_memory of " + std::to_string(options.max_memory) + " bytes is less than the " +
                  std::to_string(options.max_connections) + " connections' first credits of " +
                  std::to_string(options.limits.first_credit) + " and a body of " +
                  std::to_string(options.limits.max_body),
              {}, "allow fewer connections, smaller bodies, or more memory");
}

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(const std::shared_ptr<IoContext>& io, ServerOptions given, std::unique_ptr<Doorkeeper> door)
      : options(std::move(given)),
        pool(options.workers, options.max_queued, options.clock),
        io_(io->impl()),
        executor_(io->impl()->executor()),
        door_(std::move(door)),
        acceptor_(executor_),
        sweep_timer_(executor_),
        drain_timer_(executor_),
        stale_timer_(executor_),
        credit_(options.max_memory, std::min(options.limits.max_incoming, options.max_memory),
                options.limits.first_credit, [this](Protocol& protocol) { flush(protocol); }) {}

  Result<void> listen() {
    if (auto done = listen_on(acceptor_, options.address, options.port); !done)
      return done;
    error_code error;
    port = acceptor_.local_endpoint(error).port();
    return {};
  }

  void start() {
    asio::co_spawn(
        executor_, [self = shared_from_this()] { return self->accept_loop(); }, asio::detached);
    sweep();
  }

  using AnyHandler = std::variant<Handler, AsyncHandler, SinkFactory>;

  void set(std::pair<std::string, std::string> name, AnyHandler handler) {
    const std::lock_guard lock(mutex_);
    handlers_[std::move(name)] = std::make_shared<AnyHandler>(std::move(handler));
  }

  // On the I/O thread: no new connections, no new requests.
  void stop_accepting() {
    error_code ignored;
    acceptor_.close(ignored);
    sweep_timer_.cancel();
    stopping_ = true;
    for (const auto& session : copy()) {
      session->connection->protocol().go_away("the server shuts down");
      session->connection->flush();
    }
  }

  // On the I/O thread: closes each connection when all is written, and all of them in the end.
  void drain(std::function<void()> drained) {
    const core::Error why{Errc::unavailable, "the server shuts down", {}, {}};
    for (const auto& session : copy()) session->connection->close_when_flushed(why);
    drain_timer_.expires_after(duration_of(options.drain_timeout));
    drain_timer_.async_wait([self = shared_from_this(), why](const error_code& error) {
      if (!error)
        for (const auto& session : self->copy()) session->connection->close(why);
    });
    // Last: who waits for it may destroy this.
    drained_ = std::move(drained);
    check_drained();
  }

  const ServerOptions options;
  WorkerPool pool;
  SerialWorker decoder{"cleave-decode"};
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
      asio::steady_timer pause(executor_, std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  void welcome(tcp::socket socket) {
    auto arrival = door_->arrive(socket);
    if (arrival.shed)
      shed(*arrival.shed);
    if (!arrival.visit)
      ++refused;
    const bool told = arrival.verdict == PeerGuard::Arrival::Verdict::refuse;
    if (!arrival.visit && (!told || refusals_ >= most_refusals))
      return;
    const auto session = make_session(std::move(socket));
    session->visit = std::move(arrival.visit);
    session->refusal = arrival.why;
    sessions_.insert(session);
    Protocol& protocol = session->connection->protocol();
    if (told) {
      ++refusals_;
      protocol.refuse(session->refusal);
    } else {
      ++connections;
      by_protocol_.emplace(&protocol, session);
      credit_.join(protocol);
    }
    const auto self = shared_from_this();
    // The session is held by the set; the handlers hold it only weakly.
    const std::weak_ptr<Session> weak = session;
    Connection::Handlers handlers;
    handlers.on_event = [self, weak](Event&& event) {
      if (const auto s = weak.lock())
        self->on_event(s, std::move(event));
    };
    handlers.on_closed = [self, weak](const core::Error& why) {
      if (const auto s = weak.lock())
        self->on_closed(s, why);
    };
    handlers.on_changed = [self, weak] {
      if (const auto s = weak.lock())
        self->credit_.changed(s->connection->protocol());
    };
    session->connection->start(std::move(handlers));
    watch_handshake(weak);
  }

  std::shared_ptr<Session> make_session(tcp::socket socket) {
    auto session = std::make_shared<Session>();
    session->connection = std::make_shared<Connection>(door_->stream(std::move(socket)),
                                                       options.limits, options.clock);
    const std::string& peer = session->connection->peer();
    session->calls =
        std::make_shared<Calls>(session->connection, options.clock, options.metrics, peer);
    session->handle = std::make_shared<CallsHandle>(io_, session->calls, peer);
    session->answers = std::make_shared<Answers>(session->connection, io_);
    session->connection->protocol().stream([this](const RequestHead& head, std::uint64_t bound) {
      if (bound <= most_whole)
        return false;
      const auto handler = find(head);
      return handler && std::holds_alternative<SinkFactory>(*handler);
    });
    session->connection->protocol().make_bodies_with(
        [bodies = bodies_](std::size_t bytes) { return bodies->take(bytes); });
    return session;
  }

  void watch_handshake(const std::weak_ptr<Session>& weak) {
    const auto timer = std::make_shared<asio::steady_timer>(executor_);
    timer->expires_after(duration_of(options.handshake_timeout));
    timer->async_wait([timer, weak](const error_code&) {
      const auto session = weak.lock();
      if (session && (!session->connection->protocol().ready() || !session->visit))
        session->connection->close({Errc::timed_out, "no hello in time", {}, {}});
    });
  }

  // A handshake that makes room for another.
  void shed(PeerGuard::Id id) {
    for (const auto& session : copy())
      if (session->visit && session->visit->id() == id)
        session->connection->close({Errc::cancelled, "made room for another", {}, {}});
  }

  // Looks again and again for peers that are idle or too slow.
  void sweep() {
    sweep_timer_.expires_after(duration_of(door_->interval()));
    sweep_timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (error || !self || self->stopping_)
        return;
      for (const auto& session : self->copy())
        if (session->visit)
          if (const auto why = self->door_->overstayed(*session->visit, *session->connection))
            session->connection->close(*why);
      self->door_->report();
      self->bodies_->age();
      self->sweep();
    });
  }

  void on_event(const std::shared_ptr<Session>& session, Event&& event) {
    if (!session->visit) {
      // The peer has spoken, so closing will not reset what it is told.
      session->connection->close_when_flushed({Errc::unavailable, session->refusal, {}, {}});
    } else if (session->calls->take(event)) {
      return;
    } else if (auto* begun = std::get_if<event::Begun>(&event)) {
      begin_stream(session, *begun);
    } else if (auto* piece = std::get_if<event::Piece>(&event)) {
      add_piece(session, std::move(*piece));
    } else if (auto* request = std::get_if<event::Request>(&event)) {
      if (request->streamed)
        finish_stream(session, std::move(*request));
      else
        serve(session, std::move(*request));
    } else if (const auto* wanted = std::get_if<event::Wanted>(&event)) {
      credit_.want(session->connection->protocol(), wanted->bytes);
    } else if (std::get_if<event::Returned>(&event) != nullptr) {
      credit_.returned(session->connection->protocol());
    } else if (std::get_if<event::Ready>(&event) != nullptr) {
      door_->established(*session->visit);
      session->handle->set_connected(true);
    } else if (const auto* cancelled = std::get_if<event::Cancelled>(&event)) {
      cancel(session, cancelled->id);
    }
  }

  void cancel(const std::shared_ptr<Session>& session, std::uint64_t id) {
    session->answers->cancel(id);
    if (const auto found = streams_.find({session.get(), id}); found != streams_.end()) {
      // Its bytes are free when the decoder has let go of them.
      decoder.post([streaming = found->second] { discard(*streaming); });
      streams_.erase(found);
    }
    arm_stale(pool.drop_stale());
  }

  void on_closed(const std::shared_ptr<Session>& session, const core::Error& why) {
    session->handle->set_connected(false);
    session->answers->cancel_all();
    session->calls->fail_all({Errc::unavailable, why.what, why.where, why.hint});
    streams_.erase(streams_.lower_bound({session.get(), 0}),
                   streams_.upper_bound({session.get(), ~std::uint64_t{0}}));
    arm_stale(pool.drop_stale());
    if (!session->visit) {
      --refusals_;
    } else {
      door_->left(*session->visit, why);
      --connections;
      by_protocol_.erase(&session->connection->protocol());
      credit_.leave(session->connection->protocol());
    }
    sessions_.erase(session);
    check_drained();
  }

  void flush(Protocol& protocol) {
    const auto found = by_protocol_.find(&protocol);
    if (found == by_protocol_.end())
      return;
    if (const auto session = found->second.lock())
      session->connection->flush();
  }

  void check_drained() {
    if (!drained_ || !sessions_.empty())
      return;
    drain_timer_.cancel();
    door_->report(true);
    const auto drained = std::move(drained_);
    drained_ = nullptr;
    drained();
  }

  [[nodiscard]] std::shared_ptr<const AnyHandler> find(const RequestHead& head) {
    const std::lock_guard lock(mutex_);
    const auto found = handlers_.find({head.service, head.method});
    return found == handlers_.end() ? nullptr : found->second;
  }

  void begin_stream(const std::shared_ptr<Session>& session, const event::Begun& begun) {
    const auto handler = find(begun.head);
    const auto* make = handler ? std::get_if<SinkFactory>(handler.get()) : nullptr;
    if (make == nullptr) {
      session->connection->protocol().respond_error(begun.id, no_such_service(begun.head));
      return;
    }
    const auto streaming = std::make_shared<Streaming>();
    streaming->sink = (*make)();
    streaming->to = session->answers->to(begun.id, Seconds(0));
    streaming->cancelled = session->answers->expect(begun.id);
    streams_.emplace(std::pair(session.get(), begun.id), streaming);
  }

  void add_piece(const std::shared_ptr<Session>& session, event::Piece&& piece) {
    const auto found = streams_.find({session.get(), piece.id});
    if (found == streams_.end())
      return;
    decoder.post(
        [streaming = found->second, bytes = std::move(piece.bytes), bodies = bodies_]() mutable {
          if (streaming->failed || *streaming->cancelled)
            return;
          const auto added = guarded([&] { return streaming->sink->add(bytes); });
          bodies->put(std::move(bytes));
          if (added)
            return;
          streaming->failed = true;
          streaming->to.send(fail(added), Seconds(0), Seconds(0));
        });
  }

  // On the decoder's thread.
  static void discard(Streaming& streaming) {
    streaming.sink.reset();
    if (!std::exchange(streaming.failed, true))
      streaming.to.send(fail(Errc::cancelled, "cancelled"), Seconds(0), Seconds(0));
  }

  void finish_stream(const std::shared_ptr<Session>& session, event::Request&& request) {
    const auto found = streams_.find({session.get(), request.id});
    if (found == streams_.end())
      return;
    const auto streaming = found->second;
    streams_.erase(found);
    streaming->to.upload = request.upload;
    Job job = job_for(session, std::move(request), streaming->cancelled, streaming->to,
                      [streaming](Incoming incoming) {
                        incoming.behind = std::max(Seconds(0), streaming->behind);
                        auto reply = guarded([&] { return streaming->sink->finish(incoming); });
                        streaming->sink.reset();
                        return reply;
                      });
    // Behind the last piece.
    decoder.post([self = shared_from_this(), streaming, job = std::move(job)]() mutable {
      if (streaming->failed)
        return;
      // What the sink was behind by is work, and no waiting for a worker.
      const Seconds now = self->options.clock->now();
      streaming->behind = now - job.arrived;
      job.arrived = now;
      if (*streaming->cancelled)
        discard(*streaming);
      else
        self->submit(std::move(job), streaming->to);
    });
  }

  void serve(const std::shared_ptr<Session>& session, event::Request&& request) {
    const auto handler = find(request.head);
    if (!handler) {
      session->connection->protocol().respond_error(request.id, no_such_service(request.head));
      return;
    }
    const auto flag = session->answers->expect(request.id);
    const Answers::To to = session->answers->to(request.id, request.upload);
    if (const auto* async = std::get_if<AsyncHandler>(handler.get())) {
      (*async)({std::move(request.body), request.head.priority, request.head.remaining, Seconds(0),
                session->connection->peer(), flag, session->handle},
               Responder(std::make_unique<Responder::Impl>(
                   Responder::Impl{to, options.clock, options.clock->now()})));
      return;
    }
    submit(job_for(session, std::move(request), flag, to,
                   [handler](const Incoming& incoming) {
                     return guarded([&] {
                       if (const auto* make = std::get_if<SinkFactory>(handler.get()))
                         return (*make)()->take(incoming);
                       return std::get<Handler>(*handler)(incoming);
                     });
                   }),
           to);
  }

  template <class F>
  Job job_for(const std::shared_ptr<Session>& session, event::Request&& request,
              std::shared_ptr<const std::atomic<bool>> cancelled, const Answers::To& to, F work) {
    Job job;
    job.priority = request.head.priority;
    job.arrived = options.clock->now();
    if (request.head.remaining > Seconds(0))
      job.expires = request.since + request.head.remaining;
    job.cancelled = cancelled;
    job.drop = [to] {
      to.send(fail(Errc::timed_out, "its time had passed before a worker was free"), Seconds(0),
              Seconds(0));
    };
    const auto incoming = std::make_shared<Incoming>(
        Incoming{std::move(request.body), request.head.priority, request.head.remaining, Seconds(0),
                 session->connection->peer(), std::move(cancelled), session->handle});
    job.run = [this, incoming, to, expires = job.expires, arrived = job.arrived,
               work = std::move(work)](Seconds queued) {
      const Seconds started = arrived + queued;
      // At least a microsecond: 0 would say that there is no deadline.
      if (expires > Seconds(0))
        incoming->remaining = std::max(Seconds(1e-6), expires - started);
      auto reply = work(*incoming);
      bodies_->put(std::move(incoming->body));  // before its bytes are granted anew
      incoming->body = {};
      const Seconds took = options.clock->now() - started;
      options.metrics->observe("transport.queue_seconds", queued.count());
      options.metrics->observe("transport.handler_seconds", took.count());
      to.send(std::move(reply), queued, took);
    };
    return job;
  }

  // From the I/O thread or the decoder's.
  void submit(Job job, const Answers::To& to) {
    const Seconds expires = job.expires;
    if (!pool.submit(std::move(job))) {
      ++refused;
      to.send(fail(Errc::refused,
                   stopping_ ? "the server shuts down" : "too many requests are waiting"),
              Seconds(0), Seconds(0));
    } else if (expires > Seconds(0)) {
      asio::post(executor_, [self = shared_from_this(), expires] { self->arm_stale(expires); });
    }
  }

  // Work whose time passes while it waits is answered then, and not when a worker comes to it.
  void arm_stale(std::optional<Seconds> when) {
    if (!when || (stale_at_ && *stale_at_ <= *when))
      return;
    stale_at_ = when;
    // At least a millisecond, for a clock that is not this timer's.
    stale_timer_.expires_after(duration_of(
        std::clamp(*when - options.clock->now(), core::milliseconds(1), Seconds(3600))));
    stale_timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (error || !self)
        return;
      self->stale_at_.reset();
      self->arm_stale(self->pool.drop_stale());
    });
  }

  const std::weak_ptr<IoContext::Impl> io_;
  const asio::any_io_executor executor_;
  const std::unique_ptr<Doorkeeper> door_;
  tcp::acceptor acceptor_;
  asio::steady_timer sweep_timer_, drain_timer_, stale_timer_;
  std::optional<Seconds> stale_at_;  // what the timer is armed for
  const std::shared_ptr<BodyPool> bodies_ = std::make_shared<BodyPool>();
  CreditPool credit_;
  std::set<std::shared_ptr<Session>> sessions_;
  std::unordered_map<Protocol*, std::weak_ptr<Session>> by_protocol_;  // but for refused ones
  std::map<std::pair<Session*, std::uint64_t>, std::shared_ptr<Streaming>> streams_;
  std::size_t refusals_ = 0;
  std::atomic<bool> stopping_ = false;
  std::function<void()> drained_;
  std::mutex mutex_;  // of handlers_
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const AnyHandler>> handlers_;
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
  if (auto enough = check_memory(options); !enough)
    return fail(enough);
  if (!options.clock)
    options.clock = std::make_shared<core::SteadyClock>();
  auto door = Doorkeeper::open(options);
  if (!door)
    return fail(door);
  auto impl = std::make_unique<Impl>();
  impl->io = or_own(options.io);
  options.io = nullptr;  // held outside
  impl->core = std::make_shared<Core>(impl->io, std::move(options), std::move(*door));
  if (auto done = impl->core->listen(); !done)
    return fail(done);
  asio::post(impl->io->impl()->executor(), [core = impl->core] { core->start(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::handle(std::string service, std::string method, Handler handler) {
  impl_->core->set({std::move(service), std::move(method)}, std::move(handler));
}

void Server::handle_stream(std::string service, std::string method, SinkFactory sink) {
  impl_->core->set({std::move(service), std::move(method)}, std::move(sink));
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
    const auto executor = impl_->io->impl()->executor();
    const auto& core = impl_->core;
    impl_->io->impl()->run([&] { core->stop_accepting(); });
    core->decoder.finish();  // what it has may still go to a worker
    core->pool.finish();
    std::promise<void> drained;
    asio::post(executor, [&] { core->drain([&] { drained.set_value(); }); });
    drained.get_future().wait();
  });
}

}  // namespace cleave::inline v0::transport
