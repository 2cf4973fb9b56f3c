// Decides which bytes of the tensors' storages are sent: each block once, whoever shares it.
#pragma once

#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleave::inline v0::transport {

// A run of a storage's bytes, or a view packed without gaps.
struct Block {
  core::DType dtype = core::DType::uint8;  // uint8 where tensors of several types share the bytes
  const std::byte* data = nullptr;         // where the bytes lie; null: packed
  std::size_t size = 0;
  std::vector<std::byte> packed;
  [[nodiscard]] const std::byte* bytes() const { return data != nullptr ? data : packed.data(); }
};

// Where a tensor finds its elements.
struct Placement {
  std::uint32_t block = 0;
  std::size_t byte_offset = 0;
  std::vector<std::int64_t> strides;
};

struct Layout {
  std::vector<Block> blocks;
  std::vector<Placement> placements;  // one a tensor, in the order given
};

// Every tensor has a storage.
Layout lay_out(const std::vector<const core::Tensor*>& tensors);

}  // namespace cleave::inline v0::transport
