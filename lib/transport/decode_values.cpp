#include "lib/transport/wire_values.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

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
  BlockShape shape;
  bool coded = false;
  std::size_t size = 0;  // decoded
  std::shared_ptr<core::Storage> storage;
};

// What stands before the elements: the tree of values, whose tensors get their storages later, and
// the blocks that these will be.
class Head {
 public:
  // `bytes` need not outlive this.
  Head(std::span<const std::byte> bytes, const DecodeLimits& limits)
      : from_(bytes), limits_(limits) {}

  Result<void> read() {
    if (auto done = read_blocks(); !done)
      return done;
    const std::uint32_t count = from_.get_count(1, limits_.max_values);
    nodes_ += count;
    for (std::uint32_t i = 0; i < count && from_.ok(); ++i) {
      auto value = read_value(1);
      if (!value)
        return fail(value);
      values.push_back(std::move(*value));
    }
    if (!from_.finished())
      return corrupt("cut short, too long, or over a limit");
    if (limits_.admit && !limits_.admit(stored_))
      return over("no room for " + std::to_string(stored_) + " bytes of tensors");
    return {};
  }

  // Once every block has its storage.
  Result<void> attach() { return attach_all(values); }

  const Codec* codec = nullptr;
  std::vector<BlockEntry> blocks;
  core::Values values;

 private:
  Result<void> read_blocks() {
    const std::string name = from_.get_string(wire::max_codec_name);
    if (!from_.ok())
      return corrupt("cut short");
    if (limits_.codec != nullptr && limits_.codec->name() == name) {
      codec = limits_.codec;
    } else {
      const auto found = find_codec(name);
      if (!found)
        return fail(found);
      codec = *found;
    }
    const std::uint32_t count = from_.get_count(wire::block_bytes, limits_.max_values);
    std::size_t total = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      BlockEntry block;
      const auto dtype = from_.get<std::uint8_t>();
      const auto coded = from_.get<std::uint8_t>();
      const auto size = from_.get<std::uint64_t>();
      const auto channels = from_.get<std::uint32_t>();
      const auto run = from_.get<std::uint64_t>();
      if (!from_.ok() || dtype >= core::dtype_count || coded > 1)
        return corrupt("a block of no known kind");
      if (size > limits_.max_bytes - total)
        return over("more than " + std::to_string(limits_.max_bytes) + " bytes of tensors");
      total += static_cast<std::size_t>(size);
      block.coded = coded == 1;
      block.size = static_cast<std::size_t>(size);
      block.shape.dtype = static_cast<core::DType>(dtype);
      block.shape.elements = block.size / core::size_of(block.shape.dtype);
      block.shape.channels = channels;
      block.shape.run = static_cast<std::size_t>(run);
      if (block.size % core::size_of(block.shape.dtype) != 0)
        return corrupt("a block of broken elements");
      if (block.coded && block.size == 0)
        return corrupt("a coded block without elements");
      if (!fits(block.shape))
        return corrupt("a block whose channels do not fit");
      blocks.push_back(std::move(block));
    }
    stored_ = total;
    return {};
  }

  // Whole rounds of all channels, but for blocks of one channel.
  static bool fits(const BlockShape& shape) {
    if (shape.channels == 1 && shape.run == 1)
      return true;
    return shape.channels != 0 && shape.run != 0 && shape.elements != 0 &&
           shape.run <= shape.elements / shape.channels &&
           shape.elements % (shape.channels * shape.run) == 0;
  }

  // A tensor's storage is its block's; until attach() the block's number is kept beside.
  Result<core::Tensor> read_tensor() {
    core::Tensor tensor;
    const auto dtype = from_.get<std::uint8_t>();
    const auto block = from_.get<std::uint32_t>();
    const auto offset = from_.get<std::uint64_t>();
    const std::size_t dims = from_.get<std::uint8_t>();
    if (!from_.ok() || dtype >= core::dtype_count || block >= blocks.size() ||
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
      const BlockEntry& block = blocks[tensor_blocks_[next_tensor_++]];
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
  std::vector<std::uint32_t> tensor_blocks_;
  std::size_t next_tensor_ = 0, viewed_ = 0;
  std::size_t stored_ = 0;  // of all blocks
  std::uint32_t nodes_ = 0;
};

}  // namespace

class ValuesDecoder::Impl {
 public:
  explicit Impl(const DecodeLimits& limits) : limits_(limits) {}

  Result<void> add(std::span<const std::byte> bytes) {
    if (error_)
      return tl::make_unexpected(*error_);
    auto done = take(bytes);
    if (!done)
      error_ = done.error();
    return done;
  }

  [[nodiscard]] bool done() const { return stage_ == Stage::end; }

  Result<core::Values> finish() {
    if (error_)
      return tl::make_unexpected(*error_);
    if (!done())
      return corrupt("cut short");
    for (BlockEntry& block : head_->blocks)
      if (!block.storage)
        block.storage = core::allocate_storage(0);
    if (auto attached = head_->attach(); !attached)
      return fail(attached);
    error_ =
        core::Error{Errc::invalid_argument, "the values were taken before", std::string(where), ""};
    return std::move(head_->values);
  }

 private:
  enum class Stage { prelude, head, plain, header, length, piece, end };

  Result<void> take(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (stage_ == Stage::end)
        return corrupt("bytes behind the end");
      if (stage_ == Stage::plain) {
        take_plain(bytes);
        continue;
      }
      const auto whole = gather(bytes);
      if (!whole)
        return {};
      auto done = handle(*whole);
      pending_.clear();
      if (!done)
        return done;
    }
    return {};
  }

  // The next needed_ bytes, taken off `bytes`: in place, or put together with what came before.
  std::optional<std::span<const std::byte>> gather(std::span<const std::byte>& bytes) {
    const std::size_t count = std::min(needed_ - pending_.size(), bytes.size());
    const auto part = bytes.first(count);
    bytes = bytes.subspan(count);
    if (pending_.empty() && count == needed_)
      return part;
    pending_.insert(pending_.end(), part.begin(), part.end());
    if (pending_.size() < needed_)
      return std::nullopt;
    return std::span<const std::byte>(pending_);
  }

  Result<void> handle(std::span<const std::byte> bytes) {
    switch (stage_) {
      case Stage::prelude:
        return handle_prelude(bytes);
      case Stage::head:
        head_.emplace(bytes, limits_);
        if (auto done = head_->read(); !done)
          return done;
        next_block();
        return {};
      case Stage::header:
        header_.assign(bytes.begin(), bytes.end());
        expect(Stage::length, sizeof(std::uint32_t));
        return {};
      case Stage::length:
        return handle_length(core::ByteReader(bytes).get<std::uint32_t>());
      case Stage::piece:
        return handle_piece(bytes);
      case Stage::plain:
      case Stage::end:
        break;
    }
    return corrupt("bytes that nothing asked for");
  }

  Result<void> handle_prelude(std::span<const std::byte> bytes) {
    core::ByteReader from(bytes);
    if (from.get<std::uint32_t>() != wire::values_magic)
      return corrupt("not encoded values");
    const auto format = from.get<std::uint8_t>();
    if (format != wire::values_format)
      return fail(Errc::version,
                  "values of format " + std::to_string(format) + "; this cleave knows format " +
                      std::to_string(wire::values_format),
                  std::string(where), "use the same version on both sides");
    const auto size = from.get<std::uint32_t>();
    if (size > limits_.max_head)
      return over("values of more than " + std::to_string(limits_.max_head) +
                  " bytes beside the tensors");
    if (size == 0)
      return corrupt("cut short");
    expect(Stage::head, size);
    return {};
  }

  Result<void> handle_length(std::uint32_t length) {
    const BlockEntry& block = head_->blocks[block_];
    if (length == 0 || length > head_->codec->bound(block.shape, piece_count()))
      return corrupt("a piece whose length does not fit");
    expect(Stage::piece, length);
    return {};
  }

  Result<void> handle_piece(std::span<const std::byte> bytes) {
    BlockEntry& block = head_->blocks[block_];
    if (!block.storage)
      block.storage = core::allocate_storage(block.size);
    const std::size_t element = core::size_of(block.shape.dtype);
    const std::size_t count = piece_count();
    const std::span<std::byte> elements(block.storage->data() + first_ * element, count * element);
    if (auto done =
            head_->codec->decode({block.shape, header_, first_}, bytes, elements, workspace_);
        !done)
      return done;
    first_ += count;
    if (first_ < block.shape.elements) {
      expect(Stage::length, sizeof(std::uint32_t));
    } else {
      ++block_;
      next_block();
    }
    return {};
  }

  void take_plain(std::span<const std::byte>& bytes) {
    BlockEntry& block = head_->blocks[block_];
    if (!block.storage)
      block.storage = core::allocate_storage(block.size);
    const std::size_t count = std::min(block.size - first_, bytes.size());
    std::memcpy(block.storage->data() + first_, bytes.data(), count);
    bytes = bytes.subspan(count);
    first_ += count;
    if (first_ < block.size)
      return;
    ++block_;
    next_block();
  }

  [[nodiscard]] std::size_t piece_count() const {
    const BlockShape& shape = head_->blocks[block_].shape;
    return std::min(wire::piece_elements(shape.dtype), shape.elements - first_);
  }

  void next_block() {
    first_ = 0;
    while (block_ < head_->blocks.size() && head_->blocks[block_].size == 0) ++block_;
    if (block_ == head_->blocks.size()) {
      expect(Stage::end, 0);
      return;
    }
    const BlockEntry& block = head_->blocks[block_];
    header_.clear();
    if (!block.coded) {
      expect(Stage::plain, 0);
    } else if (const std::size_t size = head_->codec->header_size(block.shape); size > 0) {
      expect(Stage::header, size);
    } else {
      expect(Stage::length, sizeof(std::uint32_t));
    }
  }

  void expect(Stage stage, std::size_t bytes) {
    stage_ = stage;
    needed_ = bytes;
  }

  DecodeLimits limits_;
  std::optional<core::Error> error_;
  std::optional<Head> head_;
  Stage stage_ = Stage::prelude;
  std::size_t needed_ = wire::prelude_bytes;  // for handle()
  std::vector<std::byte> pending_;            // of them, what came in earlier calls
  std::vector<std::byte> header_;             // of the block
  Workspace workspace_;
  std::size_t block_ = 0;
  std::size_t first_ = 0;  // element of the block that comes next; byte of one sent as it is
};

ValuesDecoder::ValuesDecoder(const DecodeLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
ValuesDecoder::ValuesDecoder(ValuesDecoder&&) noexcept = default;
ValuesDecoder& ValuesDecoder::operator=(ValuesDecoder&&) noexcept = default;
ValuesDecoder::~ValuesDecoder() = default;

Result<void> ValuesDecoder::add(std::span<const std::byte> bytes) {
  return impl_->add(bytes);
}
bool ValuesDecoder::done() const {
  return impl_->done();
}
Result<core::Values> ValuesDecoder::finish() {
  return impl_->finish();
}

Result<core::Values> decode_values(std::span<const std::byte> message, const DecodeLimits& limits) {
  ValuesDecoder decoder(limits);
  if (auto added = decoder.add(message); !added)
    return fail(added);
  return decoder.finish();
}

}  // namespace cleave::inline v0::transport
