#include "lib/transport/blocks.hpp"
#include "lib/transport/wire_values.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>

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

Result<void> encode_values(const core::Values& values, const Codec& codec,
                           std::vector<std::byte>& out) {
  Collector collector;
  for (const Value& value : values)
    if (auto done = collector.visit(value, 1); !done)
      return done;
  const Layout layout = lay_out(collector.tensors);

  core::ByteWriter to(out);
  to.put(wire::values_magic);
  to.put(wire::values_format);
  to.put_string(codec.name().substr(0, wire::max_codec_name));
  to.put(static_cast<std::uint32_t>(layout.blocks.size()));
  // What the codec makes of a block is known only afterwards: the table is filled in as blocks go.
  const std::size_t table = out.size();
  out.resize(table + layout.blocks.size() * wire::block_bytes);
  to.put(static_cast<std::uint32_t>(values.size()));
  Writer writer(out, layout);
  for (const Value& value : values) writer.write(value);

  std::size_t total = out.size();
  for (const Block& block : layout.blocks)
    total += codec.encoded_size(block.dtype, block.size / core::size_of(block.dtype))
                 .value_or(block.size);
  out.reserve(total);
  std::vector<std::byte> entries;
  core::ByteWriter entry(entries);
  for (const Block& block : layout.blocks) {
    const std::span<const std::byte> elements(block.bytes(), block.size);
    const std::size_t start = out.size();
    const bool coded = codec.encode(block.dtype, elements, out);
    if (!coded)
      core::ByteWriter(out).put_bytes(elements);
    entry.put(block.dtype);
    entry.put(static_cast<std::uint8_t>(coded));
    entry.put(static_cast<std::uint64_t>(block.size));
    entry.put(static_cast<std::uint64_t>(out.size() - start));
  }
  std::copy(entries.begin(), entries.end(), out.begin() + static_cast<std::ptrdiff_t>(table));
  return {};
}

}  // namespace cleave::inline v0::transport
