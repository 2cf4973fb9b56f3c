// cleave's channel and server.
#include "bench/link/peer.hpp"
#include "bench/link/tensors.hpp"
#include "bench/link/waits.hpp"
#include "lib/transport/tls_context.hpp"
#include "tests/support/pki.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <future>
#include <mutex>

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

// One load, from the first tensor to the last answer.
struct Sending : std::enable_shared_from_this<Sending> {
  Sending(transport::Channel& over, Tensors& what, const Load& how)
      : channel(over), tensors(what), load(how) {}

  transport::Channel& channel;
  Tensors& tensors;
  const Load load;
  std::mutex mutex;  // the first tensors are sent from another thread than the rest
  std::promise<void> done;
  std::size_t sent = 0, answered = 0;
  bool failed = false;

  // With the mutex.
  void fill() {
    while (sent < load.count && sent - answered < load.in_flight) {
      ++sent;
      channel.start(
          tensor_call(tensors),
          [self = shared_from_this()](const cleave::core::Result<transport::Response>& response) {
            self->answer(response);
          });
    }
  }

  void answer(const cleave::core::Result<transport::Response>& response) {
    const std::lock_guard lock(mutex);
    if (failed)
      return;
    try {
      tensors.acknowledge(ack_of(response));
      if (++answered == load.count)
        done.set_value();
      else
        fill();
    } catch (...) {
      failed = true;
      done.set_exception(std::current_exception());
    }
  }
};

class CleaveServer final : public Server {
 public:
  CleaveServer(const std::string& address, transport::ServerSecurity security) {
    transport::ServerOptions options;
    options.address = address;
    options.security = std::move(security);
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
  CleaveClient(const Place& server, transport::ClientSecurity security) {
    transport::ChannelOptions options;
    options.host = server.address;
    options.port = server.port;
    options.security = std::move(security);
    auto channel = transport::Channel::connect(std::move(options));
    if (!channel)
      throw std::runtime_error(channel.error().message());
    channel_ = std::move(*channel);
  }

  // The next tensor is sent from the callback that brings an answer: no thread has to be woken.
  double send(const Load& load) override {
    const auto sending = std::make_shared<Sending>(*channel_, stock_.of(load), load);
    const double start = seconds();
    {
      const std::lock_guard lock(sending->mutex);
      sending->fill();
    }
    try {
      sending->done.get_future().get();
    } catch (...) {
      channel_.reset();  // returns when every callback has been called
      throw;
    }
    return seconds() - start;
  }

  // A network's thread asks for something small while another's tensors are under way.
  std::vector<double> waits(std::size_t large, std::size_t small, std::size_t count) override {
    Tensors tensors(large, 1);
    return waits_behind([&] { tensors.acknowledge(ack_of(channel_->call(tensor_call(tensors)))); },
                        [&] { calls("echo on a worker", small, 1); }, count);
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

// The same, the work done on the server's I/O thread, as gRPC's is done on a thread that polls.
class InlineClient final : public CleaveClient {
 public:
  using CleaveClient::CleaveClient;
  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    return calls("echo", bytes, count);
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

// As its peers.
template <class Security>
Security plaintext() {
  Security security;
  security.tls = transport::Tls::off;
  return security;
}

template <class Cleave>
Peer plaintext_peer(const char* name) {
  return {name,
          [](const std::string& address) {
            return std::make_unique<CleaveServer>(address, plaintext<transport::ServerSecurity>());
          },
          [](const Place& server) {
            return std::make_unique<Cleave>(server, plaintext<transport::ClientSecurity>());
          }};
}

// With a certificate that the client verifies.
class TlsServer final : public Server {
 public:
  explicit TlsServer(const std::string& address) {
    pki_.sign("server", {address});
    server_ = std::make_unique<CleaveServer>(address, pki_.server("server"));
    std::filesystem::copy_file(pki_.path("ca.pem"), authority(server_->port()),
                               std::filesystem::copy_options::overwrite_existing);
  }
  ~TlsServer() override {
    std::error_code ignored;
    std::filesystem::remove(authority(server_->port()), ignored);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  [[nodiscard]] std::uint16_t port() const override { return server_->port(); }

  // Where the client finds whom to trust.
  static std::string authority(std::uint16_t port) {
    const std::string name = "cleave_bench_link." + std::to_string(port) + ".pem";
    return std::filesystem::temp_directory_path() / name;
  }

 private:
  cleave::tests::Pki pki_;
  std::unique_ptr<CleaveServer> server_;
};

}  // namespace

Peer cleave_call_peer() {
  return plaintext_peer<CallClient>("cleave");
}

Peer cleave_inline_peer() {
  return plaintext_peer<InlineClient>("cleave-inline");
}

Peer cleave_callback_peer() {
  return plaintext_peer<CallbackClient>("cleave-callback");
}

Peer cleave_tls_peer() {
  return {"cleave-tls",
          [](const std::string& address) { return std::make_unique<TlsServer>(address); },
          [](const Place& server) {
            transport::ClientSecurity security;
            security.tls = transport::Tls::on;
            security.ca_file = TlsServer::authority(server.port);
            return std::make_unique<CallClient>(server, security);
          }};
}

Peer tls_peer() {
  const std::string all = transport::cipher_suites();
  return tls_peer(all.substr(0, all.find(':')));
}

}  // namespace bench_link
