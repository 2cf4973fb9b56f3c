#include "lib/transport/blocks.hpp"
#include "lib/transport/wire_values.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Value;
using wire::Tag;

// Every tensor inside, and whether all of it can be sent.
class Collector {
 public:
  Result<void> visit(const Value& value, std::uint32_t depth) {
    if (depth > wire::max_depth)
      return fail(Errc::invalid_argument, "values nested deeper than 32");
    return std::visit([&](const auto& v) { return collect(v, depth); }, value.data);
  }
  std::vector<const core::Tensor*> tensors;

 private:
  template <class T>
  Result<void> collect(const T&, std::uint32_t) {
    return {};
  }
  Result<void> collect(const core::Tensor& tensor, std::uint32_t) {
    if (!tensor.storage)
      return fail(Errc::invalid_argument, "a tensor without a storage");
    if (tensor.sizes.size() > wire::max_dimensions)
      return fail(Errc::invalid_argument, "a tensor of more than 64 dimensions");
    if (auto checked = core::make_tensor(tensor.dtype, tensor.sizes, tensor.strides,
                                         tensor.byte_offset, tensor.storage);
        !checked)
      return fail(checked);
    tensors.push_back(&tensor);
    return {};
  }
  Result<void> collect(const Value::List& list, std::uint32_t depth) {
    return all(list.items, depth);
  }
  Result<void> collect(const Value::Tuple& tuple, std::uint32_t depth) {
    return all(tuple.items, depth);
  }
  Result<void> collect(const Value::Dict& dict, std::uint32_t depth) {
    for (const auto& [key, item] : dict.items) {
      if (auto done = visit(key, depth + 1); !done)
        return done;
      if (auto done = visit(item, depth + 1); !done)
        return done;
    }
    return {};
  }
  Result<void> all(const std::vector<Value>& items, std::uint32_t depth) {
    for (const Value& item : items)
      if (auto done = visit(item, depth + 1); !done)
        return done;
    return {};
  }
};

class Writer {
 public:
  Writer(std::vector<std::byte>& out, const Layout& layout) : to_(out), layout_(layout) {}

  void write(const Value& value) {
    std::visit([&](const auto& v) { put(v); }, value.data);
  }

 private:
  void put(Value::None) { to_.put(Tag::none); }
  void put(Value::Uninitialized) { to_.put(Tag::uninitialized); }
  void put(bool v) {
    to_.put(Tag::boolean);
    to_.put(static_cast<std::uint8_t>(v));
  }
  void put(std::int64_t v) {
    to_.put(Tag::integer);
    to_.put(v);
  }
  void put(double v) {
    to_.put(Tag::real);
    to_.put(v);
  }
  void put(const std::string& v) {
    to_.put(Tag::string);
    to_.put_string(v);
  }
  void put(const core::Tensor& v) {
    const Placement& placement = layout_.placements[next_++];
    to_.put(Tag::tensor);
    to_.put(v.dtype);
    to_.put(placement.block);
    to_.put(static_cast<std::uint64_t>(placement.byte_offset));
    to_.put(static_cast<std::uint8_t>(v.sizes.size()));
    for (const std::int64_t size : v.sizes) to_.put(size);
    for (const std::int64_t stride : placement.strides) to_.put(stride);
  }
  void put(const Value::List& v) {
    to_.put(Tag::list);
    to_.put_string(v.element);
    to_.put(static_cast<std::uint32_t>(v.items.size()));
    for (const Value& item : v.items) write(item);
  }
  void put(const Value::Tuple& v) {
    to_.put(Tag::tuple);
    to_.put(static_cast<std::uint32_t>(v.items.size()));
    for (const Value& item : v.items) write(item);
  }
  void put(const Value::Dict& v) {
    to_.put(Tag::dict);
    to_.put_string(v.key);
    to_.put_string(v.value);
    to_.put(static_cast<std::uint32_t>(v.items.size()));
    for (const auto& [key, item] : v.items) {
      write(key);
      write(item);
    }
  }

  core::ByteWriter to_;
  const Layout& layout_;
  std::size_t next_ = 0;
};

}  // namespace

class ValuesEncoder::Impl {
 public:
  static Result<std::unique_ptr<Impl>> make(const core::Values& values, const Codec& codec) {
    if (codec.name().size() > wire::max_codec_name)
      return fail(Errc::invalid_argument, "a codec's name is longer than 64 bytes");
    Collector collector;
    for (const Value& value : values)
      if (auto done = collector.visit(value, 1); !done)
        return fail(done);
    auto impl = std::make_unique<Impl>(values, lay_out(collector.tensors), codec);
    if (impl->head_.size() > std::numeric_limits<std::uint32_t>::max())
      return fail(Errc::invalid_argument, "values of more than 4 GiB beside the tensors");
    return impl;
  }

  Impl(const core::Values& values, Layout layout, const Codec& codec)
      : codec_(codec), blocks_(std::move(layout.blocks)) {
    for (const Block& block : blocks_) {
      std::vector<std::byte> header(codec.header_size(block.shape));
      const bool coded = block.size != 0 && codec.prepare(block.shape, block.bytes(), header);
      if (!coded)
        header.clear();
      headers_.push_back(coded ? std::optional(std::move(header)) : std::nullopt);
    }
    write_head(values, layout);
    bound_ = head_.size();
    for (std::size_t i = 0; i < blocks_.size(); ++i) bound_ += bound_of(i);
  }

  [[nodiscard]] std::uint64_t bound() const { return bound_; }
  [[nodiscard]] std::uint64_t encoded() const { return encoded_; }
  [[nodiscard]] bool done() const { return head_sent_ && block_ == blocks_.size(); }

  void next(std::size_t at_least, std::vector<std::byte>& out) {
    const std::size_t start = out.size();
    if (!head_sent_) {
      core::ByteWriter(out).put_bytes(head_);
      head_ = {};
      head_sent_ = true;
      skip_empty_blocks();
    }
    bool first = true;
    for (; !done() && (first || out.size() - start < at_least); first = false) {
      put_piece(out);
      skip_empty_blocks();
    }
    encoded_ += out.size() - start;
  }

 private:
  void write_head(const core::Values& values, const Layout& layout) {
    std::vector<std::byte> body;
    core::ByteWriter to(body);
    to.put_string(codec_.name());
    to.put(static_cast<std::uint32_t>(blocks_.size()));
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const BlockShape& shape = blocks_[i].shape;
      to.put(shape.dtype);
      to.put(static_cast<std::uint8_t>(headers_[i].has_value()));
      to.put(static_cast<std::uint64_t>(blocks_[i].size));
      to.put(static_cast<std::uint32_t>(shape.channels));
      to.put(static_cast<std::uint64_t>(shape.run));
    }
    to.put(static_cast<std::uint32_t>(values.size()));
    Writer writer(body, layout);
    for (const Value& value : values) writer.write(value);
    core::ByteWriter head(head_);
    head.put(wire::values_magic);
    head.put(wire::values_format);
    head.put(static_cast<std::uint32_t>(body.size()));
    head.put_bytes(body);
  }

  [[nodiscard]] std::uint64_t bound_of(std::size_t which) const {
    const Block& block = blocks_[which];
    if (!headers_[which])
      return block.size;
    const std::size_t whole = wire::piece_elements(block.shape.dtype);
    const std::size_t pieces = block.shape.elements / whole, rest = block.shape.elements % whole;
    std::uint64_t bytes = headers_[which]->size();
    if (pieces > 0)
      bytes += pieces * (sizeof(std::uint32_t) + codec_.bound(block.shape, whole));
    if (rest > 0)
      bytes += sizeof(std::uint32_t) + codec_.bound(block.shape, rest);
    return bytes;
  }

  void put_piece(std::vector<std::byte>& out) {
    const Block& block = blocks_[block_];
    const auto& header = headers_[block_];
    const std::size_t element = core::size_of(block.shape.dtype);
    const std::size_t count =
        std::min(wire::piece_elements(block.shape.dtype), block.shape.elements - first_);
    const auto elements = block.bytes().subspan(first_ * element, count * element);
    core::ByteWriter to(out);
    if (!header) {
      to.put_bytes(elements);
    } else {
      if (first_ == 0)
        to.put_bytes(*header);
      const std::size_t start = out.size() + sizeof(std::uint32_t);
      out.resize(start + codec_.bound(block.shape, count));
      const std::size_t size = codec_.encode({block.shape, *header, first_}, elements,
                                             std::span(out).subspan(start), workspace_);
      const auto length = static_cast<std::uint32_t>(size);
      std::memcpy(out.data() + start - sizeof length, &length, sizeof length);
      out.resize(start + size);
    }
    first_ += count;
    if (first_ < block.shape.elements)
      return;
    blocks_[block_].storage.reset();  // as soon as it is not needed
    ++block_;
    first_ = 0;
  }

  void skip_empty_blocks() {
    while (block_ < blocks_.size() && first_ == 0 && blocks_[block_].size == 0) ++block_;
  }

  const Codec& codec_;
  std::vector<Block> blocks_;
  std::vector<std::optional<std::vector<std::byte>>> headers_;  // of those that the codec takes
  std::vector<std::byte> head_;
  Workspace workspace_;
  std::uint64_t bound_ = 0, encoded_ = 0;
  bool head_sent_ = false;
  std::size_t block_ = 0, first_ = 0;  // what comes next
};

ValuesEncoder::ValuesEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ValuesEncoder::ValuesEncoder(ValuesEncoder&&) noexcept = default;
ValuesEncoder& ValuesEncoder::operator=(ValuesEncoder&&) noexcept = default;
ValuesEncoder::~ValuesEncoder() = default;

Result<ValuesEncoder> ValuesEncoder::make(const core::Values& values, const Codec& codec) {
  auto impl = Impl::make(values, codec);
  if (!impl)
    return fail(impl);
  return ValuesEncoder(std::move(*impl));
}

std::uint64_t ValuesEncoder::bound() const {
  return impl_->bound();
}
std::uint64_t ValuesEncoder::encoded() const {
  return impl_->encoded();
}
bool ValuesEncoder::done() const {
  return impl_->done();
}
void ValuesEncoder::next(std::size_t at_least, std::vector<std::byte>& out) {
  impl_->next(at_least, out);
}

Result<void> encode_values(const core::Values& values, const Codec& codec,
                           std::vector<std::byte>& out) {
  auto encoder = ValuesEncoder::make(values, codec);
  if (!encoder)
    return fail(encoder);
  out.reserve(out.size() + encoder->bound());
  encoder->next(encoder->bound(), out);
  return {};
}

}  // namespace cleave::inline v0::transport
