// A call's round trip over that of a raw blocking socket that echoes as many bytes, in turn in one
// run; and what the link emulator makes of a configured rate and delay.
#include "lib/transport/asio.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/relay.hpp>
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

double median(std::vector<double>& sample) {
  if (sample.empty())
    return 0;
  const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
  std::nth_element(sample.begin(), middle, sample.end());
  return *middle;
}

std::unique_ptr<transport::Server> echo_server() {
  auto server = transport::Server::listen({});
  if (!server)
    return nullptr;
  (*server)->handle("bench", "echo",
                    [](const transport::Incoming& in) -> core::Result<Bytes> { return in.body; });
  return std::move(*server);
}

transport::Call echo_call(std::size_t size) {
  transport::Call call;
  call.service = "bench";
  call.method = "echo";
  call.body = std::vector<std::byte>(size);
  return call;
}

void call_over_raw(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto server = echo_server();
  if (!server) {
    state.SkipWithError("cannot listen");
    return;
  }
  transport::ChannelOptions options;
  options.port = server->port();
  const auto channel = *transport::Channel::connect(options);

  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  std::thread raw_server([&] {
    tcp::socket socket = acceptor.accept();
    socket.set_option(tcp::no_delay(true));
    Bytes buffer(size);
    boost::system::error_code error;
    while (!error) {
      asio::read(socket, asio::buffer(buffer), error);
      if (!error)
        asio::write(socket, asio::buffer(buffer), error);
    }
  });
  tcp::socket raw(context);
  raw.connect(acceptor.local_endpoint());
  raw.set_option(tcp::no_delay(true));
  Bytes buffer(size);

  std::vector<double> calls, raws;
  for (auto _ : state) {
    const double start = seconds();
    const auto reply = channel->call(echo_call(size));
    const double middle = seconds();
    if (!reply) {
      state.SkipWithError("call failed");
      break;
    }
    asio::write(raw, asio::buffer(buffer));
    asio::read(raw, asio::buffer(buffer));
    raws.push_back(seconds() - middle);
    calls.push_back(middle - start);
    state.SetIterationTime(middle - start);
  }
  raw.close();
  raw_server.join();
  const double call = median(calls), socket = median(raws);
  state.counters["call_us"] = call * 1e6;
  state.counters["raw_us"] = socket * 1e6;
  state.counters["call/raw"] = call / socket;
}
BENCHMARK(call_over_raw)->Arg(64)->Arg(64 << 10)->Arg(1 << 20)->UseManualTime()->MinTime(1);

// Arguments: rate in Mbit/s, delay in ms.
void emulated_link(benchmark::State& state) {
  const auto server = echo_server();
  if (!server) {
    state.SkipWithError("cannot listen");
    return;
  }
  server->handle("bench", "sink",
                 [](const transport::Incoming&) -> core::Result<Bytes> { return Bytes{}; });
  transport::RelayOptions options;
  options.target_port = server->port();
  options.up = options.down = core::BytesPerSecond(static_cast<double>(state.range(0)) * 125e3);
  options.delay = core::Seconds(static_cast<double>(state.range(1)) * 1e-3);
  const auto relay = transport::Relay::start(options);
  transport::ChannelOptions to;
  to.port = relay ? (*relay)->port() : 0;
  const auto channel = transport::Channel::connect(to);
  if (!channel) {
    state.SkipWithError("cannot connect");
    return;
  }
  const std::size_t size = static_cast<std::size_t>(options.up.count() * 0.2);
  std::vector<double> round_trips, rates;
  for (auto _ : state) {
    const double start = seconds();
    const auto small = (*channel)->call(echo_call(16));
    round_trips.push_back(seconds() - start);
    transport::Call large = echo_call(size);
    large.method = "sink";
    const auto sent = (*channel)->call(std::move(large));
    if (!small || !sent) {
      state.SkipWithError("call failed");
      break;
    }
    rates.push_back(static_cast<double>(size) / sent->upload.count());
  }
  state.counters["rtt/configured"] =
      options.delay > core::Seconds(0) ? median(round_trips) / (2 * options.delay.count()) : 0;
  state.counters["rtt_ms"] = median(round_trips) * 1e3;
  state.counters["rate/configured"] = median(rates) / options.up.count();
}
BENCHMARK(emulated_link)->Args({20, 5})->Args({100, 2})->Args({1000, 0})->MinTime(2);

}  // namespace

BENCHMARK_MAIN();
