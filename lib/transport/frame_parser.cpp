#include "lib/transport/frame_parser.hpp"

#include <algorithm>
#include <cstring>

namespace cleave::inline v0::transport {

using core::Errc;
using core::fail;
using core::Result;

namespace {

bool carries_body(std::uint8_t type) {
  return type == static_cast<std::uint8_t>(FrameType::request) ||
         type == static_cast<std::uint8_t>(FrameType::data) ||
         type == static_cast<std::uint8_t>(FrameType::response);
}

}  // namespace

Result<void> FrameParser::receive(std::span<const std::byte> bytes, Sink& sink) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::header:
      case State::head: {
        const std::size_t whole = state_ == State::header ? sizeof(FrameHeader) : head_size_;
        if (partial_.empty() && bytes.size() >= whole) {
          // Taken where it lies.
          const auto here = bytes.first(whole);
          bytes = bytes.subspan(whole);
          if (state_ == State::header) {
            std::memcpy(&header_, here.data(), whole);
            if (auto done = take_header(sink); !done)
              return done;
          } else {
            if (auto done = sink.head(header_, here); !done)
              return done;
            if (auto done = after_head(sink); !done)
              return done;
          }
          break;
        }
        const std::size_t count = std::min(whole - partial_.size(), bytes.size());
        partial_.insert(partial_.end(), bytes.begin(),
                        bytes.begin() + static_cast<std::ptrdiff_t>(count));
        bytes = bytes.subspan(count);
        if (partial_.size() < whole)
          break;
        if (state_ == State::header) {
          std::memcpy(&header_, partial_.data(), whole);
          partial_.clear();
          if (auto done = take_header(sink); !done)
            return done;
        } else {
          const auto done = sink.head(header_, partial_);
          partial_.clear();
          if (!done)
            return done;
          if (auto after = after_head(sink); !after)
            return after;
        }
        break;
      }
      case State::body:
      case State::skip: {
        const auto part = bytes.first(std::min<std::size_t>(left_, bytes.size()));
        bytes = bytes.subspan(part.size());
        left_ -= static_cast<std::uint32_t>(part.size());
        if (state_ == State::body)
          if (auto done = sink.body(part); !done)
            return done;
        if (auto done = end_if_whole(sink); !done)
          return done;
        break;
      }
    }
  }
  return {};
}

Result<void> FrameParser::take_header(Sink& sink) {
  const auto admitted = sink.admit(header_);
  if (!admitted)
    return fail(admitted);
  left_ = header_.length;
  if (!*admitted) {
    state_ = State::skip;
    return end_if_whole(sink);
  }
  head_size_ = carries_body(header_.type) ? header_.head : header_.length;
  if (head_size_ > max_head || head_size_ > header_.length)
    return fail(Errc::corrupt, "a frame's head of " + std::to_string(head_size_) + " bytes",
                "connection", "the peer is no cleave, or something between damages bytes");
  left_ -= head_size_;
  if (head_size_ > 0) {
    state_ = State::head;
    return {};
  }
  if (auto done = sink.head(header_, {}); !done)
    return done;
  return after_head(sink);
}

Result<void> FrameParser::after_head(Sink& sink) {
  state_ = State::body;
  return end_if_whole(sink);
}

Result<void> FrameParser::end_if_whole(Sink& sink) {
  if (left_ > 0)
    return {};
  const bool skipped = state_ == State::skip;
  state_ = State::header;
  return skipped ? Result<void>() : sink.end(header_);
}

std::span<std::byte> FrameParser::room(std::size_t most, Sink& sink) {
  if (state_ != State::body)
    return {};
  return sink.room(std::min<std::size_t>(left_, most));
}

Result<void> FrameParser::direct(std::size_t count, Sink& sink) {
  left_ -= static_cast<std::uint32_t>(count);
  if (auto done = sink.filled(count); !done)
    return done;
  return end_if_whole(sink);
}

}  // namespace cleave::inline v0::transport
