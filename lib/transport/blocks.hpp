// Decides which bytes of the tensors' storages are sent: each block once, whoever shares it.
#pragma once

#include <cleave/core/tensor.hpp>
#include <cleave/transport/codec.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace cleave::inline v0::transport {

// A run of a storage's bytes, or a view packed without gaps.
struct Block {
  BlockShape shape;  // of uint8 where tensors of several types share the bytes
  std::shared_ptr<core::Storage> storage;
  std::size_t offset = 0;  // of its bytes in the storage
  std::size_t size = 0;
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return size == 0 ? std::span<const std::byte>()
                     : std::span<const std::byte>(storage->data() + offset, size);
  }
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

// Every tensor has a storage. The blocks keep the storages they need.
Layout lay_out(const std::vector<const core::Tensor*>& tensors);

}  // namespace cleave::inline v0::transport
