#include <cleave/core/hash.hpp>

#include <gtest/gtest.h>

#include <algorithm>
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

TEST(Hash, OfPartsIsThatOfTheWhole) {
  const auto buffer = sanity_buffer(3000);
  for (const std::size_t size : {0U, 1U, 8U, 240U, 241U, 1024U, 3000U})
    for (const std::size_t step : {1U, 7U, 64U, 255U, 1024U, 5000U}) {
      const auto whole = std::span(buffer).first(size);
      Hasher hasher(42);
      for (std::size_t at = 0; at < size; at += step) {
        EXPECT_EQ(hasher.hash(), hash_bytes(whole.first(at), 42));  // of what there is so far
        hasher.add(whole.subspan(at, std::min(step, size - at)));
      }
      EXPECT_EQ(hasher.hash(), hash_bytes(whole, 42)) << size << " in steps of " << step;
    }
}

}  // namespace
