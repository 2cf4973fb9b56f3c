// cleave's channel and server.
#include "bench/link/peer.hpp"
#include "bench/link/tensors.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace bench_link {
namespace {

namespace transport = cleave::transport;
using Body = std::vector<std::byte>;

Body body_of(const Ack& ack) {
  const auto bytes = std::as_bytes(std::span(&ack, 1));
  return {bytes.begin(), bytes.end()};
}

Ack ack_of(const cleave::core::Result<transport::Response>& response) {
  if (!response)
    throw std::runtime_error(response.error().message());
  Ack ack;
  if (response->body.size() != sizeof ack)
    throw std::runtime_error("an answer of the wrong size");
  std::memcpy(&ack, response->body.data(), sizeof ack);
  return ack;
}

transport::Call call_of(const char* method, transport::SharedBytes body) {
  transport::Call call;
  call.service = "bench";
  call.method = method;
  call.body = std::move(body);
  return call;
}

transport::Call tensor_call(Tensors& tensors) {
  const auto& tensor = tensors.take();
  return call_of("tensor", {*tensor, tensor});
}

class CleaveServer final : public Server {
 public:
  explicit CleaveServer(const std::string& address) {
    transport::ServerOptions options;
    options.address = address;
    options.security.tls = transport::Tls::off;  // as its peers
    auto server = transport::Server::listen(std::move(options));
    if (!server)
      throw std::runtime_error(server.error().message());
    server_ = std::move(*server);
    server_->handle_async("bench", "echo",
                          [](transport::Incoming in, transport::Responder responder) {
                            responder.answer(std::move(in.body));
                          });
    // On a worker, as networks run.
    server_->handle("bench", "tensor",
                    [](const transport::Incoming& in) -> cleave::core::Result<Body> {
                      return body_of(consume(in.body));
                    });
    server_->handle(
        "bench", "echo on a worker",
        [](const transport::Incoming& in) -> cleave::core::Result<Body> { return in.body; });
  }
  [[nodiscard]] std::uint16_t port() const override { return server_->port(); }

 private:
  std::unique_ptr<transport::Server> server_;
};

class CleaveClient : public Client {
 public:
  explicit CleaveClient(const Place& server) {
    transport::ChannelOptions options;
    options.host = server.address;
    options.port = server.port;
    options.security.tls = transport::Tls::off;
    auto channel = transport::Channel::connect(std::move(options));
    if (!channel)
      throw std::runtime_error(channel.error().message());
    channel_ = std::move(*channel);
  }

  double send(const Load& load) override {
    Tensors& tensors = stock_.of(load);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Ack> acks;
    std::exception_ptr failed;
    std::size_t sent = 0, answered = 0;
    const double start = seconds();
    while (answered < load.count) {
      while (sent < load.count && sent - answered < load.in_flight) {
        channel_->start(tensor_call(tensors),
                        [&](const cleave::core::Result<transport::Response>& response) {
                          const std::lock_guard lock(mutex);
                          try {
                            acks.push_back(ack_of(response));
                          } catch (...) {
                            failed = std::current_exception();
                          }
                          changed.notify_one();
                        });
        ++sent;
      }
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return !acks.empty() || failed; });
      if (failed)
        break;
      for (const Ack& ack : acks) tensors.acknowledge(ack);
      answered += acks.size();
      acks.clear();
    }
    if (failed) {
      channel_.reset();  // returns when every callback has been called
      std::rethrow_exception(failed);
    }
    return seconds() - start;
  }

  // A network's thread asks for something small while another's tensors are under way.
  std::vector<double> waits(std::size_t large, std::size_t small, std::size_t count) override {
    std::atomic<bool> stop = false;
    auto busy = std::async(std::launch::async, [&] {
      Tensors tensors(large, 1);
      while (!stop) tensors.acknowledge(ack_of(channel_->call(tensor_call(tensors))));
    });
    std::vector<double> times;
    try {
      times = calls("echo on a worker", small, count);
    } catch (...) {
      stop = true;
      throw;
    }
    stop = true;
    busy.get();
    return times;
  }

 protected:
  [[nodiscard]] transport::Channel& channel() { return *channel_; }

  std::vector<double> calls(const char* method, std::size_t bytes, std::size_t count) {
    std::vector<double> times;
    const Body body(bytes);
    for (std::size_t i = 0; i < count; ++i) {
      const double start = seconds();
      const auto response = channel_->call(call_of(method, body));
      times.push_back(seconds() - start);
      if (!response)
        throw std::runtime_error(response.error().message());
    }
    return times;
  }

 private:
  std::shared_ptr<transport::Channel> channel_;
  Stock stock_;
};

// Round trips as an application's thread sees them, the work done on a worker.
class CallClient final : public CleaveClient {
 public:
  using CleaveClient::CleaveClient;
  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    return calls("echo on a worker", bytes, count);
  }
};

// Round trips from callback to callback on the I/O thread.
class CallbackClient final : public CleaveClient {
 public:
  using CleaveClient::CleaveClient;
  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    std::vector<double> times;
    std::promise<void> done;
    const Body body(bytes);
    double start = 0;
    std::function<void()> next = [&] {
      start = seconds();
      channel().start(
          call_of("echo", body), [&](const cleave::core::Result<transport::Response>& response) {
            times.push_back(seconds() - start);
            if (!response)
              done.set_exception(
                  std::make_exception_ptr(std::runtime_error(response.error().message())));
            else if (times.size() < count)
              next();
            else
              done.set_value();
          });
    };
    next();
    done.get_future().get();
    return times;
  }
};

std::unique_ptr<Server> serve(const std::string& address) {
  return std::make_unique<CleaveServer>(address);
}

}  // namespace

Peer cleave_call_peer() {
  return {"cleave", serve,
          [](const Place& server) { return std::make_unique<CallClient>(server); }};
}

Peer cleave_callback_peer() {
  return {"cleave-callback", serve,
          [](const Place& server) { return std::make_unique<CallbackClient>(server); }};
}

#ifdef CLEAVE_BENCH_TLS
// TO BE FILLED IN when lib/transport has TLS, and CLEAVE_BENCH_TLS then defined by
// bench/link/CMakeLists.txt: as cleave_call_peer, with the channel's and the server's options for
// a certificate and for the one cipher given.
Peer cleave_tls_peer(const char* cipher);
#endif

}  // namespace bench_link
