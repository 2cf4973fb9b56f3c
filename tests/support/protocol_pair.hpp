// Two sides of a connection without one: what tests of the protocol have in common.
#pragma once

#include <cleave/transport/protocol.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

namespace cleave::test {

using Bytes = std::vector<std::byte>;

inline Bytes output(transport::Protocol& side, std::size_t most_frames = ~std::size_t{0}) {
  Bytes bytes;
  transport::OutgoingFrame frame;
  for (; most_frames > 0 && side.next(frame); --most_frames) {
    bytes.insert(bytes.end(), frame.head.begin(), frame.head.end());
    bytes.insert(bytes.end(), frame.body.begin(), frame.body.end());
  }
  return bytes;
}

/// In pieces of `piece` bytes; 0: all at once.
inline std::vector<transport::Event> feed(transport::Protocol& side,
                                          std::span<const std::byte> bytes, std::size_t piece = 0,
                                          core::Seconds now = core::Seconds(1)) {
  std::vector<transport::Event> events;
  while (!bytes.empty()) {
    const auto part = bytes.first(piece == 0 ? bytes.size() : std::min(piece, bytes.size()));
    const auto done = side.receive(part, now, events);
    EXPECT_TRUE(done) << done.error().message();
    bytes = bytes.subspan(part.size());
  }
  return events;
}

/// Their hellos.
inline void introduce(transport::Protocol& a, transport::Protocol& b) {
  feed(b, output(a));
  feed(a, output(b));
}

inline Bytes body_of(std::size_t size, int seed = 1) {
  Bytes body(size);
  for (std::size_t i = 0; i < size; ++i)
    body[i] = static_cast<std::byte>(i * 31 + static_cast<std::size_t>(seed));
  return body;
}

template <class T>
const T& only(const std::vector<transport::Event>& events) {
  EXPECT_EQ(events.size(), 1U);
  return std::get<T>(events.at(0));
}

/// Those of the kind, moved out.
template <class T>
std::vector<T> all(std::vector<transport::Event>& events) {
  std::vector<T> found;
  for (auto& event : events)
    if (auto* e = std::get_if<T>(&event))
      found.push_back(std::move(*e));
  return found;
}

}  // namespace cleave::test
