#include "lib/transport/gate.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/protocol.hpp>

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace cleave::inline v0::transport {
namespace {

// As the protocol bounds them: HELLO as long as nothing is known of the peer; AUTH.
constexpr std::uint32_t max_hello = 4096;
constexpr std::uint32_t max_auth = 512;

// What a refused peer sends on is read and thrown away, so that closing does not reset the
// connection under the GOAWAY.
constexpr std::size_t most_lingering = 64U << 10;

FrameHeader header_of(std::span<const std::byte> frame) {
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  return header;
}

}  // namespace

std::size_t Gate::wanted() const {
  if (verdict_ != Verdict::undecided)
    return 0;
  if (frame_.size() < sizeof(FrameHeader))
    return sizeof(FrameHeader) - frame_.size();
  return sizeof(FrameHeader) + header_of(frame_).length - frame_.size();
}

Gate::Verdict Gate::feed(std::span<const std::byte> bytes) {
  while (verdict_ == Verdict::undecided && !bytes.empty()) {
    const std::size_t count = std::min(wanted(), bytes.size());
    frame_.insert(frame_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    verdict_ = judge();
  }
  return verdict_;
}

Gate::Verdict Gate::judge() {
  if (frame_.size() < sizeof(FrameHeader))
    return Verdict::undecided;
  const FrameHeader header = header_of(frame_);
  const bool greeting = hello_.empty();
  if (header.type != static_cast<std::uint8_t>(greeting ? FrameType::hello : FrameType::auth))
    return refuse(greeting ? "the first frame is no hello" : "no token");
  if (header.length > (greeting ? max_hello : max_auth))
    return refuse("a first frame of " + std::to_string(header.length) + " bytes");
  if (frame_.size() < sizeof header + header.length)
    return Verdict::undecided;
  if (greeting) {
    hello_ = std::move(frame_);
    frame_.clear();
    return Verdict::undecided;
  }
  core::ByteReader from{std::span<const std::byte>(frame_).subspan(sizeof header)};
  std::string token = from.get_string(max_auth);
  const bool whole = from.finished();
  const auto name = tokens_->admits(token);
  const bool plausible = is_token(token);
  OPENSSL_cleanse(token.data(), token.size());
  OPENSSL_cleanse(frame_.data(), frame_.size());
  frame_.clear();
  if (!whole)
    return refuse("an unreadable token");
  if (token.empty())
    return refuse("no token");
  if (!name)
    return refuse(plausible ? "wrong token" : "a token that is too short or too long");
  told_ = *name;
  return Verdict::admitted;
}

Gate::Verdict Gate::refuse(std::string why) {
  told_ = std::move(why);
  return Verdict::refused;
}

namespace {

class GatedStream final : public Stream {
 public:
  GatedStream(std::unique_ptr<Stream> inner, GateOptions options)
      : inner_(std::move(inner)),
        options_(std::move(options)),
        gate_(options_.tokens),
        delay_(inner_->executor()) {}

  asio::awaitable<void> handshake(error_code& error) override {
    co_await inner_->handshake(error);
    std::array<std::byte, 512> buffer;
    Gate::Verdict verdict = Gate::Verdict::undecided;
    while (!error && verdict == Gate::Verdict::undecided) {
      const asio::mutable_buffer into =
          asio::buffer(buffer.data(), std::min(buffer.size(), gate_.wanted()));
      const std::size_t count = inner_->read(std::span(&into, 1), error);
      verdict = gate_.feed(std::span(buffer).first(count));
      if (error == asio::error::would_block)
        co_await inner_->ready(Wait::read, error);
    }
    OPENSSL_cleanse(buffer.data(), buffer.size());
    if (verdict == Gate::Verdict::admitted) {
      hello_ = gate_.take_hello();
      options_.log->log(
          core::Severity::info, "transport",
          peer() + ": authorised" + (gate_.told().empty() ? "" : " as " + gate_.told()));
    }
    if (verdict != Gate::Verdict::refused)
      co_return;
    co_await refuse();
    failure_ = {core::Errc::refused, std::string(not_authorised) + ": " + gate_.told(), {}, {}};
    error = asio::error::connection_aborted;
  }

  std::size_t read(std::span<const asio::mutable_buffer> into, error_code& error) override {
    if (hello_.empty())
      return inner_->read(into, error);
    error = {};
    const std::size_t count = asio::buffer_copy(
        std::vector<asio::mutable_buffer>(into.begin(), into.end()), asio::buffer(hello_));
    hello_.erase(hello_.begin(), hello_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  std::size_t write(std::span<const asio::const_buffer> from, error_code& error) override {
    return inner_->write(from, error);
  }
  asio::awaitable<void> ready(Wait what, error_code& error) override {
    return inner_->ready(what, error);
  }
  asio::awaitable<std::size_t> read_later(asio::mutable_buffer into, error_code& error) override {
    return hello_.empty() ? inner_->read_later(into, error) : Stream::read_later(into, error);
  }
  void pace(core::BytesPerSecond rate, std::size_t chunk) override { inner_->pace(rate, chunk); }
  [[nodiscard]] bool paced() const override { return inner_->paced(); }
  [[nodiscard]] bool full() const override { return inner_->full(); }
  void close() override {
    delay_.cancel();
    inner_->close();
  }
  [[nodiscard]] asio::any_io_executor executor() override { return inner_->executor(); }
  [[nodiscard]] const core::Error* failure() const override {
    return failure_.what.empty() ? inner_->failure() : &failure_;
  }
  [[nodiscard]] std::string peer() const override { return inner_->peer(); }

 private:
  // The same words after the same time, whatever the reason.
  asio::awaitable<void> refuse() {
    error_code error;
    delay_.expires_after(duration_of(options_.refusal_delay));
    co_await delay_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    Protocol protocol(Limits{});
    protocol.refuse(not_authorised);
    OutgoingFrame frame;
    if (error || !protocol.next(frame))
      co_return;
    asio::const_buffer left = asio::buffer(frame.head);
    while (!error && left.size() > 0) {
      left += inner_->write(std::span(&left, 1), error);
      if (error == asio::error::would_block)
        co_await inner_->ready(Wait::write, error);
    }
    std::array<std::byte, 4096> thrown_away;
    for (std::size_t total = 0; !error && total < most_lingering;) {
      const asio::mutable_buffer into = asio::buffer(thrown_away);
      total += inner_->read(std::span(&into, 1), error);
      if (error == asio::error::would_block)
        co_await inner_->ready(Wait::read, error);
    }
  }

  std::unique_ptr<Stream> inner_;
  GateOptions options_;
  Gate gate_;
  asio::steady_timer delay_;
  std::vector<std::byte> hello_;
  core::Error failure_;
};

}  // namespace

std::unique_ptr<Stream> make_gated_stream(std::unique_ptr<Stream> inner, GateOptions options) {
  return std::make_unique<GatedStream>(std::move(inner), std::move(options));
}

}  // namespace cleave::inline v0::transport
