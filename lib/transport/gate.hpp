// What stands before the protocol where a server has tokens: reads HELLO and AUTH and nothing else,
// so that a stranger reaches some hundred lines and 4.7 KB of memory; not installed.
#pragma once

#include "lib/transport/stream.hpp"
#include "lib/transport/tokens.hpp"

#include <cleave/core/sinks.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::transport {

// What a refused peer is told, whatever was wrong.
inline constexpr std::string_view not_authorised = "not authorised";

// Without I/O: bytes in, a verdict out.
class Gate {
 public:
  enum class Verdict { undecided, admitted, refused };

  explicit Gate(std::shared_ptr<const Tokens> tokens) : tokens_(std::move(tokens)) {}

  // How many bytes may be read for the next feed(): never more than the frames need, so what
  // follows AUTH stays with the stream.
  [[nodiscard]] std::size_t wanted() const;
  Verdict feed(std::span<const std::byte> bytes);
  // For the log: who was admitted, or why not.
  [[nodiscard]] const std::string& told() const { return told_; }
  // The peer's HELLO, for the protocol.
  [[nodiscard]] std::vector<std::byte> take_hello() { return std::move(hello_); }

 private:
  Verdict refuse(std::string why);
  Verdict judge();

  std::shared_ptr<const Tokens> tokens_;
  std::vector<std::byte> frame_, hello_;
  Verdict verdict_ = Verdict::undecided;
  std::string told_;
};

struct GateOptions {
  std::shared_ptr<const Tokens> tokens;
  core::Seconds refusal_delay;
  core::LogSink* log = &core::null_log();
};

// `inner` behind a Gate: its handshake ends when the peer is admitted; a refused one gets GOAWAY
// after the delay.
std::unique_ptr<Stream> make_gated_stream(std::unique_ptr<Stream> inner, GateOptions options);

}  // namespace cleave::inline v0::transport
