#include "lib/transport/wire_values.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <limits>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Value;
using wire::Tag;

constexpr std::string_view where = "encoded values";

tl::unexpected<core::Error> corrupt(std::string what) {
  return fail(Errc::corrupt, std::move(what), std::string(where));
}
tl::unexpected<core::Error> over(std::string what) {
  return fail(Errc::exhausted, std::move(what), std::string(where),
              "raise the limit if the sender is to be trusted");
}

struct BlockEntry {
  core::DType dtype = core::DType::uint8;
  bool coded = false;
  std::size_t decoded = 0, encoded = 0;
  std::shared_ptr<core::Storage> storage;
};

class Decoder {
 public:
  Decoder(std::span<const std::byte> message, const DecodeLimits& limits)
      : from_(message), limits_(limits) {}

  // The tree stands before the blocks, so that all of it is checked before a block is allocated;
  // its tensors get their storages afterwards.
  Result<core::Values> run() {
    if (auto done = read_head(); !done)
      return fail(done);
    core::Values values;
    const std::uint32_t count = from_.get_count(1, limits_.max_values);
    nodes_ += count;
    for (std::uint32_t i = 0; i < count && from_.ok(); ++i) {
      auto value = read_value(1);
      if (!value)
        return fail(value);
      values.push_back(std::move(*value));
    }
    if (!from_.ok())
      return corrupt("cut short, or over a limit");
    if (auto done = read_blocks(); !done)
      return fail(done);
    for (Value& value : values)
      if (auto done = attach(value); !done)
        return fail(done);
    return values;
  }

 private:
  Result<void> read_head() {
    if (from_.get<std::uint32_t>() != wire::values_magic || !from_.ok())
      return corrupt("not encoded values");
    const auto format = from_.get<std::uint8_t>();
    if (format == 0 || format > wire::values_format)
      return fail(Errc::version, "format " + std::to_string(format) + " is newer than this cleave",
                  std::string(where), "update this side");
    const std::string name = from_.get_string(wire::max_codec_name);
    if (!from_.ok())
      return corrupt("cut short");
    if (limits_.codec != nullptr && limits_.codec->name() == name) {
      codec_ = limits_.codec;
    } else {
      const auto found = find_codec(name);
      if (!found)
        return fail(found);
      codec_ = *found;
    }
    const std::uint32_t count = from_.get_count(wire::block_bytes, limits_.max_values);
    std::size_t total = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      BlockEntry block;
      const auto dtype = from_.get<std::uint8_t>();
      const auto coded = from_.get<std::uint8_t>();
      const auto decoded = from_.get<std::uint64_t>();
      const auto encoded = from_.get<std::uint64_t>();
      if (!from_.ok() || dtype >= core::dtype_count || coded > 1)
        return corrupt("a block of no known kind");
      if (decoded > limits_.max_bytes - total)
        return over("more than " + std::to_string(limits_.max_bytes) + " bytes of tensors");
      if (encoded > from_.rest().size())
        return corrupt("a block longer than the message");
      block.dtype = static_cast<core::DType>(dtype);
      block.coded = coded == 1;
      block.decoded = static_cast<std::size_t>(decoded);
      block.encoded = static_cast<std::size_t>(encoded);
      const std::size_t element = core::size_of(block.dtype);
      if (block.decoded % element != 0)
        return corrupt("a block of broken elements");
      const auto expected = block.coded ? codec_->encoded_size(block.dtype, block.decoded / element)
                                        : std::optional(block.decoded);
      if (expected && *expected != block.encoded)
        return corrupt("a block whose lengths do not fit");
      total += block.decoded;
      blocks_.push_back(std::move(block));
    }
    return {};
  }

  Result<void> read_blocks() {
    std::size_t total = 0;
    for (const BlockEntry& block : blocks_) {
      if (block.encoded > from_.rest().size() - total)
        return corrupt("cut short");
      total += block.encoded;
    }
    if (total != from_.rest().size())
      return corrupt("bytes behind the end");
    for (BlockEntry& block : blocks_) {
      block.storage = core::allocate_storage(block.decoded);
      const std::span<std::byte> elements(block.storage->data(), block.decoded);
      const auto bytes = from_.take(block.encoded);
      if (block.coded) {
        if (auto done = codec_->decode(block.dtype, bytes, elements); !done)
          return done;
      } else if (!bytes.empty()) {
        std::memcpy(elements.data(), bytes.data(), bytes.size());
      }
    }
    return {};
  }

  // A tensor's storage is its block's; until attach() the block's number is kept beside.
  Result<core::Tensor> read_tensor() {
    core::Tensor tensor;
    const auto dtype = from_.get<std::uint8_t>();
    const auto block = from_.get<std::uint32_t>();
    const auto offset = from_.get<std::uint64_t>();
    const std::size_t dims = from_.get<std::uint8_t>();
    if (!from_.ok() || dtype >= core::dtype_count || block >= blocks_.size() ||
        dims > wire::max_dimensions || dims > from_.rest().size() / 16)
      return corrupt("a tensor that cannot be");
    tensor.dtype = static_cast<core::DType>(dtype);
    tensor.byte_offset = static_cast<std::size_t>(offset);
    tensor.sizes.resize(dims);
    tensor.strides.resize(dims);
    for (std::int64_t& size : tensor.sizes) size = from_.get<std::int64_t>();
    for (std::int64_t& stride : tensor.strides) stride = from_.get<std::int64_t>();
    // Broadcast dimensions take no bytes here but would in whoever copies the tensor.
    std::size_t elements = 1;
    bool empty = false;
    for (const std::int64_t size : tensor.sizes) {
      if (size < 0)
        return corrupt("a tensor with a negative size");
      empty = empty || size == 0;
    }
    for (const std::int64_t size : tensor.sizes) {
      if (empty)
        break;
      if (elements > limits_.max_bytes / static_cast<std::size_t>(size))
        return over("a tensor of more than " + std::to_string(limits_.max_bytes) + " bytes");
      elements *= static_cast<std::size_t>(size);
    }
    const std::size_t bytes = empty ? 0 : elements * core::size_of(tensor.dtype);
    if (bytes > limits_.max_bytes - viewed_)
      return over("tensors of more than " + std::to_string(limits_.max_bytes) + " bytes");
    viewed_ += bytes;
    if (tensor.byte_offset % core::size_of(tensor.dtype) != 0)
      return corrupt("a tensor that is not aligned");
    tensor_blocks_.push_back(block);
    return tensor;
  }

  Result<Value> read_value(std::uint32_t depth) {
    if (depth > limits_.max_depth)
      return over("values nested deeper than " + std::to_string(limits_.max_depth));
    switch (static_cast<Tag>(from_.get<std::uint8_t>())) {
      case Tag::none:
        return Value(Value::None{});
      case Tag::uninitialized:
        return Value(Value::Uninitialized{});
      case Tag::boolean:
        return Value(from_.get<std::uint8_t>() != 0);
      case Tag::integer:
        return Value(from_.get<std::int64_t>());
      case Tag::real:
        return Value(from_.get<double>());
      case Tag::string:
        return Value(from_.get_string(limits_.max_string));
      case Tag::tensor: {
        auto tensor = read_tensor();
        if (!tensor)
          return fail(tensor);
        return Value(std::move(*tensor));
      }
      case Tag::list: {
        Value::List list;
        list.element = from_.get_string(limits_.max_string);
        if (auto done = read_items(list.items, depth); !done)
          return fail(done);
        return Value(std::move(list));
      }
      case Tag::tuple: {
        Value::Tuple tuple;
        if (auto done = read_items(tuple.items, depth); !done)
          return fail(done);
        return Value(std::move(tuple));
      }
      case Tag::dict: {
        Value::Dict dict;
        dict.key = from_.get_string(limits_.max_string);
        dict.value = from_.get_string(limits_.max_string);
        const std::uint32_t count = count_items(2);
        for (std::uint32_t i = 0; i < count && from_.ok(); ++i) {
          auto key = read_value(depth + 1);
          if (!key)
            return fail(key);
          auto item = read_value(depth + 1);
          if (!item)
            return fail(item);
          dict.items.emplace_back(std::move(*key), std::move(*item));
        }
        return Value(std::move(dict));
      }
    }
    return corrupt("a value of no known kind");
  }

  // Fails the reader when all nodes together are over the limit.
  std::uint32_t count_items(std::size_t each) {
    const std::uint32_t left = limits_.max_values - std::min(nodes_, limits_.max_values);
    const std::uint32_t count = from_.get_count(each, left / static_cast<std::uint32_t>(each));
    nodes_ += count * static_cast<std::uint32_t>(each);
    return count;
  }

  Result<void> read_items(std::vector<Value>& items, std::uint32_t depth) {
    const std::uint32_t count = count_items(1);
    for (std::uint32_t i = 0; i < count && from_.ok(); ++i) {
      auto item = read_value(depth + 1);
      if (!item)
        return fail(item);
      items.push_back(std::move(*item));
    }
    return {};
  }

  // Walks the tree in the order in which it was read.
  Result<void> attach(Value& value) {
    if (auto* tensor = value.tensor()) {
      auto& block = blocks_[tensor_blocks_[next_tensor_++]];
      auto made = core::make_tensor(tensor->dtype, std::move(tensor->sizes),
                                    std::move(tensor->strides), tensor->byte_offset, block.storage);
      if (!made)
        return corrupt("a tensor that leaves its block");
      *tensor = std::move(*made);
    } else if (auto* list = std::get_if<Value::List>(&value.data)) {
      return attach_all(list->items);
    } else if (auto* tuple = std::get_if<Value::Tuple>(&value.data)) {
      return attach_all(tuple->items);
    } else if (auto* dict = std::get_if<Value::Dict>(&value.data)) {
      for (auto& [key, item] : dict->items) {
        if (auto done = attach(key); !done)
          return done;
        if (auto done = attach(item); !done)
          return done;
      }
    }
    return {};
  }
  Result<void> attach_all(std::vector<Value>& items) {
    for (Value& item : items)
      if (auto done = attach(item); !done)
        return done;
    return {};
  }

  core::ByteReader from_;
  const DecodeLimits& limits_;
  const Codec* codec_ = nullptr;
  std::vector<BlockEntry> blocks_;
  std::vector<std::uint32_t> tensor_blocks_;
  std::size_t next_tensor_ = 0, viewed_ = 0;
  std::uint32_t nodes_ = 0;
};

}  // namespace

Result<core::Values> decode_values(std::span<const std::byte> message, const DecodeLimits& limits) {
  return Decoder(message, limits).run();
}

}  // namespace cleave::inline v0::transport
