// What TlsStream carries in a second over what a blocking socket under OpenSSL does, with the same
// cipher and certificate, in turn in one run; and the same for whole calls.
#include "lib/transport/tls_context.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/raw_tls.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace {

using namespace cleave;
using Bytes = std::vector<std::byte>;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> sample) {
  const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
  std::nth_element(sample.begin(), middle, sample.end());
  return *middle;
}

// A connected pair of sockets.
struct Pair {
  Pair() {
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    near.connect(acceptor.local_endpoint());
    far = acceptor.accept();
    near.set_option(tcp::no_delay(true));
    far.set_option(tcp::no_delay(true));
  }
  asio::io_context context;
  tcp::socket near{context}, far{context};
};

// One side sends messages, the other answers each with a byte when all of it has come.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual double send(std::size_t size) = 0;  // seconds until the answer
};

class RawPeer final : public Peer {
 public:
  RawPeer(const tests::Pki& pki, std::size_t size)
      : size_(size), message_(size), thread_([this, &pki] {
          tests::RawTls tls(pair_.far.native_handle(),
                            {true, TLS1_3_VERSION, pki.path("server.pem"), pki.path("server.key"),
                             transport::cipher_suites()});
          Bytes buffer(256U << 10);
          const std::byte answer{};
          for (std::size_t got = 0;;) {
            const std::size_t count = tls.read(buffer);
            if (count == 0)
              return;
            got += count;
            if (got == size_) {
              got = 0;
              tls.write(std::span(&answer, 1));
            }
          }
        }) {
    tls_ = std::make_unique<tests::RawTls>(
        pair_.near.native_handle(),
        tests::RawTls::Options{false, TLS1_3_VERSION, {}, {}, transport::cipher_suites()});
  }
  ~RawPeer() override {
    pair_.near.shutdown(tcp::socket::shutdown_both);
    thread_.join();
  }
  double send(std::size_t) override {
    const double start = seconds();
    std::byte answer{};
    tls_->write(message_);
    tls_->read(std::span(&answer, 1));
    return seconds() - start;
  }

 private:
  std::size_t size_;
  Bytes message_;
  Pair pair_;
  std::thread thread_;
  std::unique_ptr<tests::RawTls> tls_;
};

class StreamPeer final : public Peer {
 public:
  StreamPeer(const tests::Pki& pki, std::size_t size) : message_(size) {
    const auto for_client = *transport::TlsContext::for_server(pki.server("server"));
    const auto for_server = *transport::TlsContext::for_client(pki.client(), "127.0.0.1");
    far_ = transport::make_tls_stream(std::move(pair_.far), for_client, 0);
    tcp::socket near(near_context_, tcp::v4(), pair_.near.release());
    near_ = transport::make_tls_stream(std::move(near), for_server, 0);
    thread_ = std::thread([this, size] {
      asio::co_spawn(pair_.context, answer(size), asio::detached);
      pair_.context.run();
    });
    run([this]() -> asio::awaitable<void> {
      transport::error_code error;
      co_await near_->handshake(error);
    });
  }
  ~StreamPeer() override {
    near_->close();
    thread_.join();
  }
  double send(std::size_t) override {
    const double start = seconds();
    run([this]() -> asio::awaitable<void> {
      co_await write(*near_, asio::buffer(message_));
      co_await read(*near_, 1);
    });
    return seconds() - start;
  }

 private:
  template <class F>
  void run(F&& work) {
    asio::co_spawn(near_context_, std::forward<F>(work), asio::detached);
    near_context_.restart();
    near_context_.run();
  }
  static asio::awaitable<void> write(transport::Stream& to, asio::const_buffer from) {
    transport::error_code error;
    while (from.size() > 0 && !error) {
      from += to.write(std::span(&from, 1), error);
      if (error == asio::error::would_block)
        co_await to.ready(transport::Stream::Wait::write, error);
    }
  }
  // False: the end.
  asio::awaitable<bool> read(transport::Stream& from, std::size_t size) {
    // As a connection reads, see most_room there.
    Bytes& buffer = &from == near_.get() ? near_buffer_ : far_buffer_;
    transport::error_code error;
    for (std::size_t got = 0; got < size && !error;) {
      const asio::mutable_buffer into = asio::buffer(buffer);
      got += from.read(std::span(&into, 1), error);
      if (error == asio::error::would_block)
        co_await from.ready(transport::Stream::Wait::read, error);
    }
    co_return !error;
  }
  asio::awaitable<void> answer(std::size_t size) {
    transport::error_code error;
    co_await far_->handshake(error);
    const std::byte done{};
    while (co_await read(*far_, size)) co_await write(*far_, asio::buffer(&done, 1));
  }

  Bytes message_, near_buffer_ = Bytes(1U << 20), far_buffer_ = Bytes(1U << 20);
  Pair pair_;
  asio::io_context near_context_;
  std::unique_ptr<transport::Stream> near_, far_;
  std::thread thread_;
};

class CallPeer final : public Peer {
 public:
  explicit CallPeer(const tests::Pki& pki) {
    transport::ServerOptions options;
    options.security = pki.server("server");
    server_ = std::move(*transport::Server::listen(options));
    server_->handle("bench", "sink",
                    [](const transport::Incoming&) -> core::Result<Bytes> { return Bytes(1); });
    transport::ChannelOptions to;
    to.port = server_->port();
    to.security = pki.client();
    channel_ = *transport::Channel::connect(to);
  }
  double send(std::size_t size) override {
    transport::Call call;
    call.service = "bench";
    call.method = "sink";
    call.body = std::vector<std::byte>(size);
    const double start = seconds();
    if (!channel_->call(std::move(call)))
      std::abort();
    return seconds() - start;
  }

 private:
  std::unique_ptr<transport::Server> server_;
  std::shared_ptr<transport::Channel> channel_;
};

void over_raw(benchmark::State& state, Peer& mine, Peer& raw) {
  const auto size = static_cast<std::size_t>(state.range(0));
  for (int warm = 0; warm < 3; ++warm) {
    mine.send(size);
    raw.send(size);
  }
  std::vector<double> mines, raws, ratios;
  for (auto _ : state) {
    const bool first = mines.size() % 2 == 0;
    double times[2] = {};
    for (const bool mine_now : {first, !first})
      times[mine_now ? 0 : 1] = mine_now ? mine.send(size) : raw.send(size);
    mines.push_back(times[0]);
    raws.push_back(times[1]);
    ratios.push_back(times[1] / times[0]);
    state.SetIterationTime(times[0]);
  }
  state.counters["MB/s"] = static_cast<double>(size) * 1e-6 / median(mines);
  state.counters["raw MB/s"] = static_cast<double>(size) * 1e-6 / median(raws);
  state.counters["speed/raw"] = median(ratios);
}

void stream_over_raw(benchmark::State& state) {
  tests::Pki pki;
  pki.sign("server", {"127.0.0.1"});
  StreamPeer mine(pki, static_cast<std::size_t>(state.range(0)));
  RawPeer raw(pki, static_cast<std::size_t>(state.range(0)));
  over_raw(state, mine, raw);
}
BENCHMARK(stream_over_raw)
    ->Arg(64)
    ->Arg(64 << 10)
    ->Arg(1 << 20)
    ->Arg(8 << 20)
    ->UseManualTime()
    ->MinTime(2);

void call_over_raw(benchmark::State& state) {
  tests::Pki pki;
  pki.sign("server", {"127.0.0.1"});
  CallPeer mine(pki);
  RawPeer raw(pki, static_cast<std::size_t>(state.range(0)));
  over_raw(state, mine, raw);
}
BENCHMARK(call_over_raw)->Arg(1 << 20)->Arg(8 << 20)->UseManualTime()->MinTime(2);

}  // namespace

BENCHMARK_MAIN();
