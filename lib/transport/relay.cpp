#include "lib/transport/io_context_impl.hpp"

#include <cleave/core/clock.hpp>
#include <cleave/transport/relay.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <future>
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
                "for a link that carries nothing use set_outage()");
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
  Pair(tcp::socket from, asio::io_context& context)
      : client(std::move(from)), target(context), up(context), down(context) {}

  struct Packet {
    std::vector<std::byte> bytes;
    Seconds arrives;
  };
  struct Direction {
    explicit Direction(asio::io_context& context) : reader(context), writer(context) {}
    std::deque<Packet> under_way;
    bool ended = false;  // the sender will send no more
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
    for (Direction* direction : {&up, &down}) {
      direction->reader.cancel();
      direction->writer.cancel();
    }
  }

  tcp::socket client, target;
  Direction up, down;
  bool open = true;
  int ends = 0;  // directions that have delivered everything
};

class Emulator : public std::enable_shared_from_this<Emulator> {
 public:
  Emulator(asio::io_context& context, RelayOptions options)
      : options_(std::move(options)),
        context_(context),
        acceptor_(context),
        up_(options_.up, options_.delay, options_.jitter, options_.seed),
        down_(options_.down, options_.delay, options_.jitter, options_.seed ^ 0x9E3779B97F4A7C15U) {
  }

  Result<std::uint16_t> listen() {
    if (auto done = listen_on(acceptor_, options_.listen_address, options_.listen_port,
                              receive_buffer(options_.up, options_.queue));
        !done)
      return fail(done);
    error_code error;
    return acceptor_.local_endpoint(error).port();
  }

  void start() {
    asio::co_spawn(
        context_, [self = shared_from_this()] { return self->accept_loop(); }, asio::detached);
  }

  void set_link(BytesPerSecond up, BytesPerSecond down, Seconds delay, Seconds jitter) {
    up_.set(up, delay, jitter);
    down_.set(down, delay, jitter);
  }

  void set_outage(bool on) {
    outage_ = on;
    if (!on)
      for (const auto& pair : pairs_)
        for (Pair::Direction* direction : {&pair->up, &pair->down}) {
          direction->reader.cancel();
          direction->writer.cancel();
        }
  }

  void kill(bool reset) {
    for (const auto& pair : std::vector(pairs_.begin(), pairs_.end())) finish(pair, reset);
  }

  void close() {
    error_code ignored;
    acceptor_.close(ignored);
    kill(false);
  }

  std::atomic<std::size_t> count{0};

 private:
  [[nodiscard]] Seconds now() const { return clock_.now(); }

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
        asio::steady_timer pause(context_, std::chrono::milliseconds(50));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      const auto pair = std::make_shared<Pair>(std::move(socket), context_);
      pairs_.insert(pair);
      ++count;
      asio::co_spawn(
          context_, [self, pair] { return self->serve(pair); }, asio::detached);
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
    tcp::resolver resolver(context_);
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
      pair->target.set_option(
          asio::socket_base::receive_buffer_size(receive_buffer(options_.down, options_.queue)),
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
    spawn(pair, pair->client, pair->target, pair->up, up_);
    spawn(pair, pair->target, pair->client, pair->down, down_);
  }

  void spawn(const std::shared_ptr<Pair>& pair, tcp::socket& from, tcp::socket& to,
             Pair::Direction& direction, LinkModel& model) {
    const auto self = shared_from_this();
    asio::co_spawn(
        context_,
        [self, pair, &from, &direction, &model] {
          return self->take_in(pair, from, direction, model);
        },
        asio::detached);
    asio::co_spawn(
        context_, [self, pair, &to, &direction] { return self->give_out(pair, to, direction); },
        asio::detached);
  }

  // Takes bytes from the sender as long as the link's queue has room for them.
  asio::awaitable<void> take_in(std::shared_ptr<Pair> pair, tcp::socket& from,
                                Pair::Direction& direction, LinkModel& model) {
    const auto self = shared_from_this();
    error_code error;
    while (pair->open) {
      const Seconds excess = model.backlog(now()) - options_.queue;
      if (outage_ || excess > Seconds(0)) {
        direction.reader.expires_after(outage_ ? std::chrono::hours(1) : duration_of(excess));
        co_await direction.reader.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      std::vector<std::byte> bytes(model.quantum());
      const std::size_t taken = co_await from.async_read_some(
          asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
      if (!pair->open)
        break;
      if (error) {
        if (error != asio::error::eof) {
          finish(pair, true);
          break;
        }
        direction.ended = true;
        direction.writer.cancel();
        break;
      }
      bytes.resize(taken);
      const bool idle = direction.under_way.empty();
      direction.under_way.push_back({std::move(bytes), model.send(taken, now()).arrives});
      if (idle)
        direction.writer.cancel();
    }
  }

  // Hands each packet to the receiver when it has arrived.
  asio::awaitable<void> give_out(std::shared_ptr<Pair> pair, tcp::socket& to,
                                 Pair::Direction& direction) {
    const auto self = shared_from_this();
    error_code error;
    while (pair->open) {
      if (direction.under_way.empty() && direction.ended)
        break;
      const bool wait_for_news = direction.under_way.empty() || outage_;
      const Seconds early =
          wait_for_news ? Seconds(3600) : direction.under_way.front().arrives - now();
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
        finish(pair, true);
        break;
      }
    }
    if (!pair->open)
      co_return;
    error_code ignored;
    to.shutdown(tcp::socket::shutdown_send, ignored);
    if (++pair->ends == 2)
      finish(pair, false);
  }

  const RelayOptions options_;
  asio::io_context& context_;
  tcp::acceptor acceptor_;
  core::SteadyClock clock_;
  LinkModel up_, down_;
  bool outage_ = false;
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
    std::promise<void> done;
    asio::post(io->impl()->context, [&] {
      f(*emulator);
      done.set_value();
    });
    done.get_future().wait();
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
  auto impl = std::make_unique<Impl>();
  impl->io = std::make_unique<IoContext>("cleave-relay");
  auto& context = impl->io->impl()->context;
  impl->emulator = std::make_shared<Emulator>(context, std::move(options));
  const auto port = impl->emulator->listen();
  if (!port)
    return fail(port);
  impl->port = *port;
  asio::post(context, [emulator = impl->emulator] { emulator->start(); });
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

void Relay::set_outage(bool on) {
  impl_->run([on](Emulator& e) { e.set_outage(on); });
}

void Relay::kill_connections() {
  impl_->run([](Emulator& e) { e.kill(true); });
}

std::size_t Relay::connections() const {
  return impl_->emulator->count;
}

}  // namespace cleave::inline v0::transport
