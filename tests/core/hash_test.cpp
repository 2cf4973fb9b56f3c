#include <cleave/core/hash.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace {

using namespace cleave::core;

// xxHash's sanity check (tests/sanity_test_vectors.h): a buffer whose bytes are the top bytes of a
// generator that starts at PRIME32 and is multiplied by PRIME64 each time.
std::vector<std::byte> sanity_buffer(std::size_t size) {
  std::vector<std::byte> buffer;
  std::uint64_t generator = 2654435761u;
  for (std::size_t i = 0; i < size; ++i) {
    buffer.push_back(static_cast<std::byte>(generator >> 56));
    generator *= 11400714785074694797ull;
  }
  return buffer;
}

TEST(Hash, IsXxh3AsPublished) {
  EXPECT_EQ(hash_bytes({}), 0x2D06800538D394C2ull);
  EXPECT_EQ(hash_bytes(sanity_buffer(1)), 0xC44BDFF4074EECDBull);
}

TEST(Hash, TextAndBytesAgreeAndEveryByteAndTheSeedCount) {
  const std::string text = "features.7";
  EXPECT_EQ(hash_text(text), hash_bytes(std::as_bytes(std::span(text.data(), text.size()))));
  auto buffer = sanity_buffer(300);
  std::set<std::uint64_t> seen{hash_bytes(buffer), hash_bytes(buffer, 1)};
  for (std::byte& byte : buffer) {
    byte ^= std::byte{1};
    seen.insert(hash_bytes(buffer));
    byte ^= std::byte{1};
  }
  EXPECT_EQ(seen.size(), 302u);
}

}  // namespace
