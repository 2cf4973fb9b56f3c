#include "lib/model/onnx_tensor.hpp"

#include "lib/core/descriptor.hpp"

#include <cleave/core/hash.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <memory>
#include <span>

namespace cleave::inline v0::model::onnx_in {

using core::Descriptor;
using onnx::TensorProto;

static_assert(std::endian::native == std::endian::little, "ONNX keeps raw data little-endian");

std::string type_name(std::int32_t onnx_type) {
  constexpr std::array names = {"undefined",  "float32", "uint8",  "int8",   "uint16",
                                "int16",      "int32",   "int64",  "string", "bool",
                                "float16",    "float64", "uint32", "uint64", "complex64",
                                "complex128", "bfloat16"};
  if (onnx_type >= 0 && static_cast<std::size_t>(onnx_type) < names.size())
    return names[static_cast<std::size_t>(onnx_type)];
  return "number " + std::to_string(onnx_type);
}

at::ScalarType to_scalar_type(std::int32_t onnx_type) {
  switch (onnx_type) {
    case TensorProto::FLOAT:
      return at::kFloat;
    case TensorProto::DOUBLE:
      return at::kDouble;
    case TensorProto::FLOAT16:
      return at::kHalf;
    case TensorProto::BFLOAT16:
      return at::kBFloat16;
    case TensorProto::UINT8:
      return at::kByte;
    case TensorProto::INT8:
      return at::kChar;
    case TensorProto::INT16:
      return at::kShort;
    case TensorProto::INT32:
      return at::kInt;
    case TensorProto::INT64:
      return at::kLong;
    case TensorProto::BOOL:
      return at::kBool;
    default:
      refuse("the element type " + type_name(onnx_type));
  }
}

namespace {

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    corrupt("'" + text + "' is no offset or length of external data");
  return value;
}

struct External {
  std::string name;
  std::uint64_t offset = 0, length = 0;
  std::unique_ptr<Descriptor> file;
};

// Opens the file that holds a tensor's `bytes`, which lies in the model's own folder: never through
// a link, never elsewhere. That it holds so many is known before memory is taken for them.
External open_external(const TensorProto& proto, const std::filesystem::path& folder,
                       std::uint64_t bytes) {
  External external;
  external.length = bytes;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location")
      external.name = entry.value();
    else if (entry.key() == "offset")
      external.offset = number(entry.value());
    else if (entry.key() == "length")
      external.length = number(entry.value());
  }
  if (folder.empty())
    refuse("tensor '" + proto.name() + "' is kept outside the file",
           "save the model with its weights inside");
  std::string& name = external.name;
  if (name.starts_with("./"))
    name.erase(0, 2);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    refuse("tensor '" + proto.name() + "' is kept in '" + name + "', not beside the model");
  if (external.length != bytes)
    corrupt("tensor '" + proto.name() + "' takes " + std::to_string(bytes) +
            " bytes, and its external data holds " + std::to_string(external.length));
  external.file = std::make_unique<Descriptor>(
      ::open((folder / name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (external.file->get() < 0 || ::fstat(external.file->get(), &status) != 0 ||
      !S_ISREG(status.st_mode))
    throw ImportError(core::Errc::not_found,
                      "the file '" + name + "' with the model's weights cannot be read",
                      "keep it beside the model");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (external.offset > size || bytes > size - external.offset)
    corrupt("tensor '" + proto.name() + "' reaches past the end of '" + name + "'");
  return external;
}

void read_external(const External& external, std::span<char> into) {
  std::uint64_t offset = external.offset;
  while (!into.empty()) {
    const ssize_t got =
        ::pread(external.file->get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got <= 0)
      throw ImportError(core::Errc::io, "cannot read '" + external.name + "'");
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

template <class To, class From>
void copy_numbers(const From& numbers, at::Tensor& tensor) {
  To* to = static_cast<To*>(tensor.data_ptr());
  for (const auto number : numbers) *to++ = static_cast<To>(number);
}

// Half-precision numbers are kept as their bits, one in each int32.
void copy_bits(const google::protobuf::RepeatedField<std::int32_t>& numbers, at::Tensor& tensor) {
  auto* to = static_cast<std::uint16_t*>(tensor.data_ptr());
  for (const std::int32_t number : numbers) *to++ = static_cast<std::uint16_t>(number);
}

void copy_typed(const TensorProto& proto, at::Tensor& tensor) {
  switch (proto.data_type()) {
    case TensorProto::FLOAT:
      return copy_numbers<float>(proto.float_data(), tensor);
    case TensorProto::DOUBLE:
      return copy_numbers<double>(proto.double_data(), tensor);
    case TensorProto::INT64:
      return copy_numbers<std::int64_t>(proto.int64_data(), tensor);
    case TensorProto::INT32:
      return copy_numbers<std::int32_t>(proto.int32_data(), tensor);
    case TensorProto::INT16:
      return copy_numbers<std::int16_t>(proto.int32_data(), tensor);
    case TensorProto::INT8:
      return copy_numbers<std::int8_t>(proto.int32_data(), tensor);
    case TensorProto::UINT8:
      return copy_numbers<std::uint8_t>(proto.int32_data(), tensor);
    case TensorProto::BOOL: {
      auto* to = static_cast<bool*>(tensor.data_ptr());
      for (const std::int32_t number : proto.int32_data()) *to++ = number != 0;
      return;
    }
    default:
      copy_bits(proto.int32_data(), tensor);
  }
}

int typed_count(const TensorProto& proto) {
  switch (proto.data_type()) {
    case TensorProto::FLOAT:
      return proto.float_data_size();
    case TensorProto::DOUBLE:
      return proto.double_data_size();
    case TensorProto::INT64:
      return proto.int64_data_size();
    default:
      return proto.int32_data_size();
  }
}

}  // namespace

at::Tensor read_tensor(TensorProto& proto, const std::filesystem::path& folder) {
  const at::ScalarType dtype = to_scalar_type(proto.data_type());
  if (proto.has_segment())
    refuse("tensor '" + proto.name() + "' is given in segments");
  const Sizes sizes(proto.dims().begin(), proto.dims().end());
  for (const std::int64_t size : sizes) {
    if (size < 0)
      corrupt("tensor '" + proto.name() + "' has a negative size");
  }
  if (sizes.size() > 32)
    corrupt("tensor '" + proto.name() + "' has more than 32 dimensions");
  const std::int64_t elements = count(sizes);
  if (elements > std::int64_t{1} << 40)
    corrupt("tensor '" + proto.name() + "' is larger than any file");
  const auto bytes = static_cast<std::uint64_t>(elements) * c10::elementSize(dtype);
  const bool outside = proto.data_location() == TensorProto::EXTERNAL;
  External external;
  const bool raw = proto.has_raw_data();
  // What the file holds, before memory is taken for it.
  if (outside)
    external = open_external(proto, folder, bytes);
  else if (raw ? proto.raw_data().size() != bytes
               : static_cast<std::int64_t>(typed_count(proto)) != elements)
    corrupt("tensor '" + proto.name() + "' of the sizes " + to_text(sizes) +
            " does not hold that many elements");
  at::Tensor tensor = at::empty(sizes, at::TensorOptions(dtype));
  if (outside) {
    read_external(external, {static_cast<char*>(tensor.data_ptr()), bytes});
  } else if (raw) {
    if (bytes > 0)
      std::memcpy(tensor.data_ptr(), proto.raw_data().data(), bytes);
  } else if (elements > 0) {
    copy_typed(proto, tensor);
  }
  if (dtype == at::kBool && elements > 0) {
    // Any byte but zero is true; a bool that is neither 0 nor 1 is undefined behaviour.
    auto* byte = static_cast<std::uint8_t*>(tensor.data_ptr());
    for (std::int64_t i = 0; i < elements; ++i) byte[i] = byte[i] != 0;
  }
  const std::string name = proto.name();
  TensorProto().Swap(&proto);  // Clear() would keep the memory
  proto.set_name(name);
  return tensor;
}

std::uint64_t hash_tensor(const std::string& name, const at::Tensor& tensor, std::uint64_t seed) {
  std::uint64_t hash = core::hash_text(name, seed);
  hash = core::hash_text(c10::toString(tensor.scalar_type()), hash);
  for (const std::int64_t size : tensor.sizes())
    hash = core::hash_bytes(std::as_bytes(std::span(&size, 1)), hash);
  return core::hash_bytes(
      std::span(static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()), hash);
}

}  // namespace cleave::inline v0::model::onnx_in
