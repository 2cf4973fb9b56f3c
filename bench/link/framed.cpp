#include "bench/link/framed.hpp"

#include "bench/link/tensors.hpp"

#include <atomic>
#include <cstdio>
#include <thread>

namespace bench_link {
namespace {

// Before each tensor, before an echo (sequence 0, which is no tensor's) and alone as an answer.
struct Head {
  std::uint64_t bytes = 0;
  std::uint64_t call = 0;  // of the receiver's read(), so that both ends use the same; 0: an echo
};
static_assert(sizeof(Head) == 16);

constexpr std::size_t most_bytes = std::size_t{1} << 30;

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

void read_all(Pipe& pipe, std::span<std::byte> into) {
  while (!into.empty()) {
    const std::size_t count = pipe.read(into);
    if (count == 0)
      throw std::runtime_error("the peer closed the connection");
    into = into.subspan(count);
  }
}

class FramedClient final : public Client {
 public:
  FramedClient(const Place& server, const MakePipe& make) {
    tcp::socket socket(context_);
    socket.connect({asio::ip::make_address(server.address), server.port});
    pipe_ = make(std::move(socket));
  }

  double send(const Load& load) override {
    Tensors& tensors = stock_.of(load);
    const std::size_t call = load.call_bytes != 0 ? load.call_bytes : 256U << 10;
    std::size_t sent = 0, answered = 0;
    const double start = seconds();
    while (answered < load.count) {
      while (sent < load.count && sent - answered < load.in_flight) {
        const auto& tensor = tensors.take();
        pipe_->write(bytes_of(Head{tensor->size(), call}), *tensor, call);
        ++sent;
      }
      answered += read_acks(tensors);
    }
    return seconds() - start;
  }

  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    std::vector<std::byte> buffer(bytes);
    std::vector<double> times;
    for (std::size_t i = 0; i < count; ++i) {
      const double start = seconds();
      pipe_->write(bytes_of(Head{bytes, 0}), buffer, bytes);
      read_all(*pipe_, buffer);
      times.push_back(seconds() - start);
    }
    return times;
  }

 private:
  // All that are there, one at least.
  std::size_t read_acks(Tensors& tensors) {
    std::size_t have = pipe_->read(std::as_writable_bytes(std::span(acks_)));
    if (have == 0)
      throw std::runtime_error("the peer closed the connection");
    const std::size_t more = (sizeof(Ack) - have % sizeof(Ack)) % sizeof(Ack);
    read_all(*pipe_, std::as_writable_bytes(std::span(acks_)).subspan(have, more));
    const std::size_t count = (have + more) / sizeof(Ack);
    for (std::size_t i = 0; i < count; ++i) tensors.acknowledge(acks_[i]);
    return count;
  }

  asio::io_context context_;
  std::unique_ptr<Pipe> pipe_;
  std::array<Ack, 64> acks_{};
  Stock stock_;
};

// Reads ahead a little, so that small tensors share calls and large ones are not copied.
class Receiver {
 public:
  explicit Receiver(Pipe& pipe) : pipe_(pipe) {}

  // False when the peer has closed between two messages.
  bool next() {
    if (!have(sizeof(Head)))
      return false;
    Head head;
    std::memcpy(&head, ahead_.data() + begin_, sizeof head);
    begin_ += sizeof head;
    if (head.bytes > most_bytes)
      throw std::runtime_error("a tensor of more than 1 GiB");
    const std::size_t bytes = head.bytes;
    if (bytes <= end_ - begin_) {
      answer(head, std::span(ahead_).subspan(begin_, bytes));
      begin_ += bytes;
      return true;
    }
    // The network wants it in one piece; buffers are used again.
    std::vector<std::byte>& tensor = tensors_[turn_++ % tensors_.size()];
    if (tensor.size() < bytes)
      tensor.resize(bytes);
    std::size_t filled = end_ - begin_;
    std::memcpy(tensor.data(), ahead_.data() + begin_, filled);
    begin_ = end_ = 0;
    flush();
    // What is read ahead of a large tensor would be copied once more.
    ahead_most_ = bytes > read_ahead ? sizeof head : read_ahead;
    while (filled < bytes) {
      const std::size_t call = std::max<std::size_t>(head.call, 4096);
      filled += read_exactly(std::span(tensor).subspan(filled, std::min(call, bytes - filled)));
    }
    answer(head, std::span(tensor).first(bytes));
    return true;
  }

 private:
  static constexpr std::size_t read_ahead = 64U << 10;

  std::size_t read_exactly(std::span<std::byte> into) {
    const std::size_t count = pipe_.read(into);
    if (count == 0)
      throw std::runtime_error("the peer closed the connection within a tensor");
    return count;
  }

  bool have(std::size_t bytes) {
    if (end_ - begin_ >= bytes)
      return true;
    std::memmove(ahead_.data(), ahead_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    flush();
    while (end_ < bytes) {
      const std::size_t count = pipe_.read(std::span(ahead_).first(ahead_most_).subspan(end_));
      if (count == 0)
        return false;
      end_ += count;
    }
    return true;
  }

  void answer(const Head& head, std::span<const std::byte> tensor) {
    if (head.call == 0) {
      pipe_.write({}, tensor, tensor.size());
      return;
    }
    // Large tensors are answered at once; small ones when all that was read has been looked at.
    answers_.push_back(consume(tensor));
    if (tensor.size() > read_ahead / 2)
      flush();
  }

  void flush() {
    if (!answers_.empty())
      pipe_.write({}, std::as_bytes(std::span(answers_)), answers_.size() * sizeof(Ack));
    answers_.clear();
  }

  Pipe& pipe_;
  std::vector<std::byte> ahead_ = std::vector<std::byte>(read_ahead);
  std::size_t begin_ = 0, end_ = 0, ahead_most_ = read_ahead;
  std::array<std::vector<std::byte>, 2> tensors_;
  std::size_t turn_ = 0;
  std::vector<Ack> answers_;
};

class FramedServer final : public Server {
 public:
  FramedServer(const std::string& address, MakePipe make)
      : acceptor_(context_, {asio::ip::make_address(address), 0}),
        make_(std::move(make)),
        thread_([this] { serve(); }) {}
  ~FramedServer() override {
    boost::system::error_code ignored;
    // Wakes accept(); the connection's end wakes read().
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    if (connection_ >= 0)
      ::shutdown(connection_, SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const override { return acceptor_.local_endpoint().port(); }

 private:
  void serve() {
    try {
      tcp::socket socket = acceptor_.accept();
      connection_ = socket.native_handle();
      const auto pipe = make_(std::move(socket));
      Receiver receiver(*pipe);
      while (receiver.next()) {
      }
      connection_ = -1;
    } catch (const std::exception& e) {
      connection_ = -1;
      std::fprintf(stderr, "server: %s\n", e.what());
    }
  }

  asio::io_context context_;
  tcp::acceptor acceptor_;
  MakePipe make_;
  std::atomic<int> connection_{-1};
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Client> framed_client(const Place& server, const MakePipe& make) {
  return std::make_unique<FramedClient>(server, make);
}

std::unique_ptr<Server> framed_server(const std::string& address, const MakePipe& make) {
  return std::make_unique<FramedServer>(address, make);
}

}  // namespace bench_link
