// Bytes from the peer, cut into frames as they come.
#pragma once

#include <cleave/transport/protocol.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::transport {

// Heads, and frames that are nothing else, are collected; a body's bytes are handed on as they come
// and never kept here. Not thread-safe.
class FrameParser {
 public:
  static constexpr std::uint32_t max_head = 4096;

  // What the frames mean. After an error nothing more is called.
  class Sink {
   public:
    virtual ~Sink() = default;
    // Before anything is taken of what follows the header. False: the frame is to be skipped.
    virtual core::Result<bool> admit(const FrameHeader& header) = 0;
    virtual core::Result<void> head(const FrameHeader& header, std::span<const std::byte> head) = 0;
    // The frame's next bytes of a body.
    virtual core::Result<void> body(std::span<const std::byte> bytes) = 0;
    // Where up to `most` such bytes may be put instead; empty: they are wanted by body() only.
    virtual std::span<std::byte> room(std::size_t most) = 0;
    virtual core::Result<void> filled(std::size_t count) = 0;
    // The frame has ended.
    virtual core::Result<void> end(const FrameHeader& header) = 0;
  };

  [[nodiscard]] core::Result<void> receive(std::span<const std::byte> bytes, Sink& sink);
  // As Protocol's.
  [[nodiscard]] std::span<std::byte> room(std::size_t most, Sink& sink);
  [[nodiscard]] core::Result<void> direct(std::size_t count, Sink& sink);

  [[nodiscard]] bool in_body() const { return state_ == State::body; }
  [[nodiscard]] bool between_frames() const { return state_ == State::header && partial_.empty(); }

 private:
  enum class State { header, head, body, skip };

  core::Result<void> take_header(Sink& sink);
  core::Result<void> after_head(Sink& sink);
  core::Result<void> end_if_whole(Sink& sink);

  State state_ = State::header;
  FrameHeader header_;
  std::vector<std::byte> partial_;  // of a header or a head that is not whole yet
  std::uint32_t head_size_ = 0;
  std::uint32_t left_ = 0;  // of the frame's body, or of what is skipped
};

}  // namespace cleave::inline v0::transport
