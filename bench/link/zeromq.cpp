// ZeroMQ: DEALER to ROUTER, messages that borrow the tensor's memory.
#include "bench/link/peer.hpp"
#include "bench/link/tensors.hpp"

#include <zmq.h>

#include <cstdio>
#include <thread>

namespace bench_link {
namespace {

void check(int result, const char* what) {
  if (result < 0)
    throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

class Context {
 public:
  Context() : context_(zmq_ctx_new()) {}
  ~Context() { zmq_ctx_term(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  [[nodiscard]] void* get() const { return context_; }
  void shut_down() { zmq_ctx_shutdown(context_); }

 private:
  void* context_;
};

class Socket {
 public:
  Socket(const Context& context, int type) : socket_(zmq_socket(context.get(), type)) {
    const int linger = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
  }
  ~Socket() { zmq_close(socket_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] void* get() const { return socket_; }

 private:
  void* socket_;
};

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  // Borrows `bytes` until they are sent; the sender keeps them until they are acknowledged.
  explicit Message(std::span<const std::byte> bytes) {
    zmq_msg_init_data(
        &message_, const_cast<std::byte*>(bytes.data()), bytes.size(), [](void*, void*) {},
        nullptr);
  }
  ~Message() { zmq_msg_close(&message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  void send(const Socket& to, int flags = 0) {
    check(zmq_msg_send(&message_, to.get(), flags), "zmq_msg_send");
  }
  // False when the context has been shut down.
  bool receive(const Socket& from) {
    if (zmq_msg_recv(&message_, from.get(), 0) >= 0)
      return true;
    if (zmq_errno() == ETERM)
      return false;
    throw std::runtime_error(zmq_strerror(zmq_errno()));
  }
  [[nodiscard]] std::span<const std::byte> bytes() {
    return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }

 private:
  zmq_msg_t message_;
};

// What is no longer than this is echoed; tensors are longer.
constexpr std::size_t longest_echo = 1024;

class ZmqServer final : public Server {
 public:
  explicit ZmqServer(const std::string& address) {
    check(zmq_bind(router_.get(), ("tcp://" + address + ":*").c_str()), "zmq_bind");
    char endpoint[256];
    std::size_t size = sizeof endpoint;
    check(zmq_getsockopt(router_.get(), ZMQ_LAST_ENDPOINT, endpoint, &size), "zmq_getsockopt");
    const std::string text = endpoint;
    port_ = static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
    thread_ = std::thread([this] { serve(); });
  }
  ~ZmqServer() override {
    context_.shut_down();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const override { return port_; }

 private:
  void serve() {
    try {
      for (;;) {
        Message from, message;
        if (!from.receive(router_) || !message.receive(router_))
          return;
        from.send(router_, ZMQ_SNDMORE);
        if (message.bytes().size() <= longest_echo) {
          message.send(router_);
          continue;
        }
        const Ack ack = consume(message.bytes());
        check(zmq_send(router_.get(), &ack, sizeof ack, 0), "zmq_send");
      }
    } catch (const std::exception& e) {
      std::fprintf(stderr, "server: %s\n", e.what());
    }
  }

  Context context_;
  Socket router_{context_, ZMQ_ROUTER};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

class ZmqClient final : public Client {
 public:
  explicit ZmqClient(const Place& server) {
    const std::string to = "tcp://" + server.address + ":" + std::to_string(server.port);
    check(zmq_connect(dealer_.get(), to.c_str()), "zmq_connect");
  }

  double send(const Load& load) override {
    Tensors& tensors = stock_.of(load);
    std::size_t sent = 0, answered = 0;
    const double start = seconds();
    while (answered < load.count) {
      for (; sent < load.count && sent - answered < load.in_flight; ++sent)
        Message(*tensors.take()).send(dealer_);
      Ack ack;
      if (zmq_recv(dealer_.get(), &ack, sizeof ack, 0) != sizeof ack)
        throw std::runtime_error("an answer of the wrong size");
      tensors.acknowledge(ack);
      ++answered;
    }
    return seconds() - start;
  }

  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    std::vector<std::byte> buffer(std::min(bytes, longest_echo));
    std::vector<double> times;
    for (std::size_t i = 0; i < count; ++i) {
      const double start = seconds();
      check(zmq_send(dealer_.get(), buffer.data(), buffer.size(), 0), "zmq_send");
      check(zmq_recv(dealer_.get(), buffer.data(), buffer.size(), 0), "zmq_recv");
      times.push_back(seconds() - start);
    }
    return times;
  }

 private:
  Context context_;
  Socket dealer_{context_, ZMQ_DEALER};
  Stock stock_;
};

}  // namespace

Peer zeromq_peer() {
  return {"zeromq", [](const std::string& address) { return std::make_unique<ZmqServer>(address); },
          [](const Place& server) { return std::make_unique<ZmqClient>(server); }};
}

}  // namespace bench_link
