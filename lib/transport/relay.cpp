#include "lib/transport/io_context_impl.hpp"

#include <cleave/core/clock.hpp>
#include <cleave/transport/relay.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <limits>
#include <set>
#include <vector>

namespace cleave::inline v0::transport {
namespace {

using core::BytesPerSecond;
using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

Result<void> check_link(BytesPerSecond up, BytesPerSecond down, Seconds delay, Seconds jitter) {
  if (!(up.count() > 0) || !(down.count() > 0))
    return fail(Errc::invalid_argument, "a link's rate must be above 0", {},
                "for a link that carries nothing use set_state()");
  if (!(delay.count() >= 0) || !(jitter.count() >= 0) || !std::isfinite(delay.count()) ||
      !std::isfinite(jitter.count()))
    return fail(Errc::invalid_argument, "a link's delay and jitter must not be negative");
  return {};
}

// The kernel's buffer in front of the link: about as long as the link's own queue.
int receive_buffer(BytesPerSecond rate, Seconds queue) {
  return static_cast<int>(std::clamp(rate.count() * queue.count(), 65536.0, 4194304.0));
}

// All of this lives on the I/O thread.
class Emulator;

// One connection: a socket to each side and what is under way between them.
struct Pair {
  Pair(tcp::socket from, const asio::any_io_executor& executor, ConnectionFaults drawn)
      : client(std::move(from)),
        target(executor),
        faults(drawn),
        up(executor, LinkDirection::up),
        down(executor, LinkDirection::down) {}

  struct Packet {
    std::vector<std::byte> bytes;
    Seconds arrives;
  };
  struct Direction {
    Direction(const asio::any_io_executor& executor, LinkDirection direction)
        : way(direction), reader(executor), writer(executor) {}
    LinkDirection way;
    std::deque<Packet> under_way;
    bool ended = false;   // the sender will send no more
    bool silent = false;  // and the receiver is not to hear of it
    asio::steady_timer reader, writer;
  };

  void kill(bool reset) {
    if (!open)
      return;
    open = false;
    for (tcp::socket* socket : {&client, &target}) {
      error_code ignored;
      if (reset)
        socket->set_option(asio::socket_base::linger(true, 0), ignored);
      socket->close(ignored);
    }
    wake();
  }

  void wake() {
    for (Direction* direction : {&up, &down}) {
      direction->reader.cancel();
      direction->writer.cancel();
    }
  }

  tcp::socket client, target;
  ConnectionFaults faults;
  Direction up, down;
  bool open = true;
  int ends = 0;  // directions that have delivered everything
};

class Emulator : public std::enable_shared_from_this<Emulator> {
 public:
  Emulator(const asio::any_io_executor& executor, RelayOptions options)
      : options_(std::move(options)),
        executor_(executor),
        acceptor_(executor),
        pace_(executor),
        up_{LinkModel(options_.up, options_.delay, options_.jitter, options_.seed)},
        down_{LinkModel(options_.down, options_.delay, options_.jitter,
                        options_.seed ^ 0x9E3779B97F4A7C15U)},
        timeline_(options_.faults, options_.seed),
        trace_(options_.trace),
        repeat_(options_.repeat_trace) {}

  Result<std::uint16_t> listen() {
    if (auto done = listen_on(acceptor_, options_.listen_address, options_.listen_port,
                              receive_buffer(peak(LinkDirection::up), options_.queue));
        !done)
      return fail(done);
    error_code error;
    return acceptor_.local_endpoint(error).port();
  }

  void start() {
    trace_began_ = faults_set_ = now();
    asio::co_spawn(
        executor_, [self = shared_from_this()] { return self->follow(); }, asio::detached);
    asio::co_spawn(
        executor_, [self = shared_from_this()] { return self->accept_loop(); }, asio::detached);
  }

  void set_link(BytesPerSecond up, BytesPerSecond down, Seconds delay, Seconds jitter) {
    trace_.reset();
    up_.set(up, delay, jitter);
    down_.set(down, delay, jitter);
    look();
  }

  void set_trace(LinkTrace trace, bool repeat) {
    trace_ = std::move(trace);
    repeat_ = repeat;
    trace_began_ = now();
    look();
  }

  void set_faults(const LinkFaults& faults) {
    options_.faults = faults;
    timeline_ = FaultTimeline(faults, options_.seed);
    faults_set_ = now();
    for (const auto& pair : pairs_) pair->faults.set(faults, faults_set_);
    look();
  }

  void set_state(LinkState state) {
    forced_ = state;
    look();
  }

  void lose(LinkDirection direction) {
    for (const auto& pair : pairs_) pair->faults.lose(direction);
  }

  // Brings the link to what it has to be now, and whoever waits for a time looks again.
  void look() {
    update();
    for (const auto& pair : pairs_) pair->wake();
    pace_.cancel();
  }

  [[nodiscard]] const RelayCounts& counts() const { return counts_; }

  void kill(bool reset) {
    for (const auto& pair : std::vector(pairs_.begin(), pairs_.end())) finish(pair, reset);
  }

  void close() {
    error_code ignored;
    acceptor_.close(ignored);
    pace_.cancel();
    kill(false);
  }

  std::atomic<std::size_t> count{0};

 private:
  // One direction of the link.
  struct Way {
    LinkModel model;
    LinkClock clock = {};  // stands while nothing moves
    bool dry = false;      // a trace's rate of 0
    void set(BytesPerSecond rate, Seconds delay, Seconds jitter) {
      dry = rate.count() == 0;
      if (!dry)
        model.set(rate, delay, jitter);
    }
  };

  [[nodiscard]] Seconds now() const { return options_.clock->now(); }
  [[nodiscard]] Way& way(LinkDirection direction) {
    return direction == LinkDirection::up ? up_ : down_;
  }

  // The fastest that the link is to be, as far as is known.
  [[nodiscard]] BytesPerSecond peak(LinkDirection direction) const {
    const bool up = direction == LinkDirection::up;
    if (!trace_)
      return up ? options_.up : options_.down;
    BytesPerSecond most;
    for (const LinkTrace::Row& row : trace_->rows()) most = std::max(most, up ? row.up : row.down);
    return most;
  }

  // The link as trace, faults and set_state() want it now; when that may change next.
  Seconds update() {
    const Seconds time = now();
    Seconds next(std::numeric_limits<double>::infinity());
    if (trace_) {
      const LinkTrace::Row& row = trace_->at(time - trace_began_, repeat_);
      up_.set(row.up, row.delay, row.jitter);
      down_.set(row.down, row.delay, row.jitter);
      next = trace_began_ + trace_->next_change(time - trace_began_, repeat_);
    }
    const LinkState before = state_;
    state_ = std::max(timeline_.state(time - faults_set_), forced_);
    next = std::min(next, faults_set_ + timeline_.next_change());
    if (state_ != before) {
      counts_.stalls += state_ == LinkState::stalled ? 1 : 0;
      counts_.outages += state_ == LinkState::out ? 1 : 0;
      if (state_ == LinkState::out)
        kill(true);
    }
    for (Way* each : {&up_, &down_})
      each->clock.set_stopped(state_ != LinkState::moving || each->dry, time);
    return next;
  }

  // Follows the trace and the timeline of faults.
  asio::awaitable<void> follow() {
    const auto self = shared_from_this();
    error_code error;
    while (acceptor_.is_open()) {
      const Seconds next = update();
      for (const auto& pair : pairs_) pair->wake();
      pace_.expires_after(duration_of(std::clamp(next - now(), Seconds(0), Seconds(3600))));
      co_await pace_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  asio::awaitable<void> accept_loop() {
    const auto self = shared_from_this();
    while (acceptor_.is_open()) {
      error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor_.is_open())
        break;
      if (error) {
        options_.log->log(core::Severity::warning, "relay", "cannot accept: " + error.message());
        asio::steady_timer pause(executor_, std::chrono::milliseconds(50));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      const std::uint64_t number = counts_.connections++;
      const auto pair =
          std::make_shared<Pair>(std::move(socket), executor_,
                                 ConnectionFaults(options_.faults, options_.seed, number, now()));
      if (state_ == LinkState::out) {
        ++counts_.refused;
        pair->kill(true);
        continue;
      }
      pairs_.insert(pair);
      ++count;
      asio::co_spawn(
          executor_, [self, pair] { return self->serve(pair); }, asio::detached);
    }
  }

  void finish(const std::shared_ptr<Pair>& pair, bool reset) {
    pair->kill(reset);
    if (pairs_.erase(pair) > 0)
      --count;
  }

  asio::awaitable<void> serve(std::shared_ptr<Pair> pair) {
    const auto self = shared_from_this();
    error_code error;
    tcp::resolver resolver(executor_);
    const auto found =
        co_await resolver.async_resolve(options_.target_host, std::to_string(options_.target_port),
                                        asio::redirect_error(asio::use_awaitable, error));
    for (const auto& entry : found) {
      if (!pair->open)
        co_return;
      error = {};
      error_code ignored;
      pair->target.close(ignored);
      pair->target.open(entry.endpoint().protocol(), error);
      // Before connecting: the window is agreed on then.
      pair->target.set_option(asio::socket_base::receive_buffer_size(
                                  receive_buffer(peak(LinkDirection::down), options_.queue)),
                              ignored);
      if (!error)
        co_await pair->target.async_connect(entry.endpoint(),
                                            asio::redirect_error(asio::use_awaitable, error));
      if (!error)
        break;
    }
    if (!pair->open)
      co_return;
    if (error) {
      options_.log->log(core::Severity::warning, "relay",
                        options_.target_host + ":" + std::to_string(options_.target_port) +
                            ": cannot connect: " + error.message());
      finish(pair, true);
      co_return;
    }
    tune(pair->client, 0);
    tune(pair->target, 0);
    spawn(pair, pair->client, pair->target, pair->up);
    spawn(pair, pair->target, pair->client, pair->down);
  }

  void spawn(const std::shared_ptr<Pair>& pair, tcp::socket& from, tcp::socket& to,
             Pair::Direction& direction) {
    const auto self = shared_from_this();
    asio::co_spawn(
        executor_, [self, pair, &from, &direction] { return self->take_in(pair, from, direction); },
        asio::detached);
    asio::co_spawn(
        executor_, [self, pair, &to, &direction] { return self->give_out(pair, to, direction); },
        asio::detached);
  }

  // Takes bytes from the sender as long as the link's queue has room for them.
  asio::awaitable<void> take_in(std::shared_ptr<Pair> pair, tcp::socket& from,
                                Pair::Direction& direction) {
    const auto self = shared_from_this();
    Way& link = way(direction.way);
    error_code error;
    while (pair->open) {
      const Seconds excess = link.model.backlog(link.clock.at(now())) - options_.queue;
      if (link.clock.stopped() || excess > Seconds(0)) {
        direction.reader.expires_after(link.clock.stopped() ? std::chrono::hours(1)
                                                            : duration_of(excess));
        co_await direction.reader.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      std::vector<std::byte> bytes(link.model.quantum());
      const std::size_t taken = co_await from.async_read_some(
          asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
      if (!pair->open)
        break;
      if (error) {
        direction.silent = pair->faults.loses(direction.way, now());
        if (error != asio::error::eof && !direction.silent) {
          finish(pair, true);
          break;
        }
        direction.ended = true;
        direction.writer.cancel();
        break;
      }
      bytes.resize(taken);
      if (!enter(*pair, direction, bytes)) {
        finish(pair, true);
        break;
      }
      if (bytes.empty())
        continue;
      const bool idle = direction.under_way.empty();
      const Seconds arrives = link.model.send(bytes.size(), link.clock.at(now())).arrives;
      direction.under_way.push_back({std::move(bytes), arrives});
      if (idle)
        direction.writer.cancel();
    }
  }

  // Spoils bytes as the faults want it, and keeps those that go on. False: the connection is cut.
  bool enter(Pair& pair, const Pair::Direction& direction, std::vector<std::byte>& bytes) {
    const bool up = direction.way == LinkDirection::up;
    const bool lost = pair.faults.loses(direction.way, now());
    const auto fate = pair.faults.take(direction.way, bytes, now());
    (up ? counts_.bytes_up : counts_.bytes_down) += fate.forwarded;
    (up ? counts_.flipped_up : counts_.flipped_down) += fate.flipped;
    if (lost)
      (up ? counts_.vanished_up : counts_.vanished_down) += bytes.size();
    counts_.cut += fate.cut ? 1 : 0;
    bytes.resize(fate.forwarded);
    return !fate.cut;
  }

  // Hands each packet to the receiver when it has arrived.
  asio::awaitable<void> give_out(std::shared_ptr<Pair> pair, tcp::socket& to,
                                 Pair::Direction& direction) {
    const auto self = shared_from_this();
    const LinkClock& clock = way(direction.way).clock;
    const LinkDirection back =
        direction.way == LinkDirection::up ? LinkDirection::down : LinkDirection::up;
    error_code error;
    while (pair->open) {
      if (direction.under_way.empty() && direction.ended)
        break;
      const bool wait_for_news = direction.under_way.empty() || clock.stopped();
      const Seconds early =
          wait_for_news ? Seconds(3600) : direction.under_way.front().arrives - clock.at(now());
      if (early > Seconds(0)) {
        direction.writer.expires_after(duration_of(early));
        co_await direction.writer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      const Pair::Packet packet = std::move(direction.under_way.front());
      direction.under_way.pop_front();
      co_await asio::async_write(to, asio::buffer(packet.bytes),
                                 asio::redirect_error(asio::use_awaitable, error));
      if (!pair->open)
        break;
      if (error) {
        if (!pair->faults.loses(back, now())) {
          finish(pair, true);
          break;
        }
        // The sender does not learn that nobody is there: its bytes go nowhere from now on.
        pair->faults.lose(direction.way);
        direction.under_way.clear();
      }
    }
    if (!pair->open)
      co_return;
    error_code ignored;
    if (!direction.silent)
      to.shutdown(tcp::socket::shutdown_send, ignored);
    if (++pair->ends == 2)
      finish(pair, false);
  }

  RelayOptions options_;
  const asio::any_io_executor executor_;
  tcp::acceptor acceptor_;
  asio::steady_timer pace_;
  Way up_, down_;
  FaultTimeline timeline_;
  std::optional<LinkTrace> trace_;
  bool repeat_ = false;
  Seconds trace_began_, faults_set_;
  LinkState state_ = LinkState::moving, forced_ = LinkState::moving;
  RelayCounts counts_;
  std::set<std::shared_ptr<Pair>> pairs_;
};

}  // namespace

struct Relay::Impl {
  std::unique_ptr<IoContext> io;  // first: the emulator's sockets belong to it
  std::shared_ptr<Emulator> emulator;
  std::uint16_t port = 0;

  // Returns when it has been done.
  template <class F>
  void run(F f) const {
    io->impl()->run([&] { f(*emulator); });
  }
};

Relay::Relay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Relay::~Relay() {
  impl_->run([](Emulator& e) { e.close(); });
}

Result<std::unique_ptr<Relay>> Relay::start(RelayOptions options) {
  if (auto fits = check_link(options.up, options.down, options.delay, options.jitter); !fits)
    return fail(fits);
  if (!(options.queue.count() >= 0))
    return fail(Errc::invalid_argument, "a link's queue must not be negative");
  if (auto fits = check_faults(options.faults); !fits)
    return fail(fits);
  if (!options.clock)
    options.clock = std::make_shared<core::SteadyClock>();
  auto impl = std::make_unique<Impl>();
  impl->io = std::make_unique<IoContext>("cleave-relay");
  const auto executor = impl->io->impl()->executor();
  impl->emulator = std::make_shared<Emulator>(executor, std::move(options));
  const auto port = impl->emulator->listen();
  if (!port)
    return fail(port);
  impl->port = *port;
  asio::post(executor, [emulator = impl->emulator] { emulator->start(); });
  return std::unique_ptr<Relay>(new Relay(std::move(impl)));
}

std::uint16_t Relay::port() const {
  return impl_->port;
}

Result<void> Relay::set_link(BytesPerSecond up, BytesPerSecond down, Seconds delay,
                             Seconds jitter) {
  if (auto fits = check_link(up, down, delay, jitter); !fits)
    return fits;
  impl_->run([&](Emulator& e) { e.set_link(up, down, delay, jitter); });
  return {};
}

void Relay::set_trace(LinkTrace trace, bool repeat) {
  impl_->run([&](Emulator& e) { e.set_trace(std::move(trace), repeat); });
}

Result<void> Relay::set_faults(const LinkFaults& faults) {
  if (auto fits = check_faults(faults); !fits)
    return fits;
  impl_->run([&](Emulator& e) { e.set_faults(faults); });
  return {};
}

void Relay::set_state(LinkState state) {
  impl_->run([state](Emulator& e) { e.set_state(state); });
}

void Relay::lose(LinkDirection direction) {
  impl_->run([direction](Emulator& e) { e.lose(direction); });
}

void Relay::kill_connections() {
  impl_->run([](Emulator& e) { e.kill(true); });
}

RelayCounts Relay::counts() const {
  RelayCounts counts;
  impl_->run([&](Emulator& e) { counts = e.counts(); });
  return counts;
}

void Relay::check_time() {
  impl_->run([](Emulator& e) { e.look(); });
}

std::size_t Relay::connections() const {
  return impl_->emulator->count;
}

}  // namespace cleave::inline v0::transport
