// The format: "\x93NUMPY", major and minor version, the header's length (u16 in version 1, u32
// later), the header (a Python dictionary literal with 'descr', 'fortran_order' and 'shape', padded
// with spaces), the elements. numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include <cleave/core/bytes.hpp>
#include <cleave/core/file.hpp>
#include <cleave/data/npy.hpp>

#include <cctype>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace cleave::inline v0::data {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t header_limit = std::size_t{1} << 16;

struct TypeName {
  DType dtype;
  std::string_view name;
};
constexpr TypeName type_names[] = {
    {DType::uint8, "|u1"},     {DType::int8, "|i1"},       {DType::int16, "<i2"},
    {DType::int32, "<i4"},     {DType::int64, "<i8"},      {DType::float16, "<f2"},
    {DType::float32, "<f4"},   {DType::float64, "<f8"},    {DType::boolean, "|b1"},
    {DType::complex64, "<c8"}, {DType::complex128, "<c16"}};

struct Header {
  std::string descr;
  bool fortran = false;
  std::vector<std::int64_t> shape;
};

// Reads the few Python literals that a header may hold.
class Literals {
 public:
  explicit Literals(std::string_view text) : rest_(text) {}

  bool take(char c) {
    skip_spaces();
    if (rest_.empty() || rest_.front() != c)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::optional<std::string_view> string() {
    skip_spaces();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"'))
      return std::nullopt;
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos)
      return std::nullopt;
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::optional<bool> boolean() {
    skip_spaces();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}})
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(std::strlen(word));
        return value;
      }
    return std::nullopt;
  }
  std::optional<std::vector<std::int64_t>> tuple() {
    std::vector<std::int64_t> numbers;
    if (!take('('))
      return std::nullopt;
    while (!take(')')) {
      skip_spaces();
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
      if (error != std::errc() || number < 0 || numbers.size() == 32)
        return std::nullopt;
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      numbers.push_back(number);
      if (!take(',')) {
        if (!take(')'))
          return std::nullopt;
        break;
      }
    }
    return numbers;
  }
  bool at_end() {
    skip_spaces();
    return rest_.empty();
  }

 private:
  void skip_spaces() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front())))
      rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

std::optional<Header> parse_header(std::string_view text) {
  Header header;
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
  Literals literals(text);
  if (!literals.take('{'))
    return std::nullopt;
  while (!literals.take('}')) {
    const auto key = literals.string();
    if (!key || !literals.take(':'))
      return std::nullopt;
    if (*key == "descr") {
      // A list here describes a record; the caller says that it is not supported.
      if (const auto descr = literals.string())
        header.descr = *descr;
      else if (literals.take('['))
        return Header{.descr = "[record]", .fortran = false, .shape = {}};
      else
        return std::nullopt;
      has_descr = true;
    } else if (*key == "fortran_order") {
      const auto fortran = literals.boolean();
      if (!fortran)
        return std::nullopt;
      header.fortran = *fortran;
      has_order = true;
    } else if (*key == "shape") {
      auto shape = literals.tuple();
      if (!shape)
        return std::nullopt;
      header.shape = std::move(*shape);
      has_shape = true;
    } else {
      return std::nullopt;
    }
    if (!literals.take(',')) {
      if (!literals.take('}'))
        return std::nullopt;
      break;
    }
  }
  if (!has_descr || !has_order || !has_shape || !literals.at_end())
    return std::nullopt;
  return header;
}

std::optional<DType> dtype_of(std::string_view descr) {
  if (descr.size() < 2)
    return std::nullopt;
  for (const auto& [dtype, name] : type_names)
    if (descr.substr(1) == name.substr(1) &&
        (descr[0] == '<' || descr[0] == '=' || (descr[0] == '|' && core::size_of(dtype) == 1)))
      return dtype;
  return std::nullopt;
}

}  // namespace

Result<core::Tensor> parse_npy(std::span<const std::byte> bytes, const std::string& where) {
  core::ByteReader reader(bytes);
  const auto start = reader.take(magic.size());
  if (start.empty() || std::memcmp(start.data(), magic.data(), magic.size()) != 0)
    return fail(Errc::corrupt, "not a .npy file", where);
  const auto major = reader.get<std::uint8_t>();
  reader.get<std::uint8_t>();
  if (reader.ok() && (major < 1 || major > 3))
    return fail(Errc::unsupported, ".npy format version " + std::to_string(major), where);
  const std::size_t length = major == 1 ? reader.get<std::uint16_t>() : reader.get<std::uint32_t>();
  if (length > header_limit)
    return fail(Errc::corrupt, "the .npy header is too long", where);
  const auto text = reader.take(length);
  if (!reader.ok())
    return fail(Errc::corrupt, "the .npy header is cut short", where);
  const auto header = parse_header({reinterpret_cast<const char*>(text.data()), text.size()});
  if (!header)
    return fail(Errc::corrupt, "the .npy header is damaged", where);
  const auto dtype = dtype_of(header->descr);
  if (!dtype)
    return fail(Errc::unsupported, "elements of type '" + header->descr + "'", where,
                "convert them, e.g. numpy's astype('<f4')");

  std::uint64_t expected = core::size_of(*dtype);
  std::uint64_t without_zeros = expected;  // so that (0, huge, huge) has no wild strides either
  bool fits = true;
  for (const std::int64_t size : header->shape) {
    fits = fits && !__builtin_mul_overflow(
                       without_zeros, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1)),
                       &without_zeros);
    expected *= static_cast<std::uint64_t>(size);
  }
  if (!fits || without_zeros > (std::uint64_t{1} << 48) || expected != reader.rest().size())
    return fail(
        Errc::corrupt,
        "the shape does not fit the " + std::to_string(reader.rest().size()) + " bytes of elements",
        where);
  auto storage = core::allocate_storage(expected);
  if (expected > 0)
    std::memcpy(storage->data(), reader.rest().data(), expected);
  std::vector<std::int64_t> strides = core::contiguous_strides(header->shape);
  if (header->fortran) {
    std::int64_t stride = 1;
    for (std::size_t d = 0; d < strides.size(); ++d) {
      strides[d] = stride;
      stride *= std::max<std::int64_t>(header->shape[d], 1);
    }
  }
  auto tensor = core::make_tensor(*dtype, header->shape, std::move(strides), 0, storage);
  if (!tensor)
    return fail(Errc::corrupt, tensor.error().what, where);
  return tensor->is_contiguous() ? *tensor : core::contiguous_copy(*tensor);
}

Result<core::Tensor> load_npy(const std::filesystem::path& path) {
  const auto file = core::read_file(path, npy_size_limit);
  if (!file)
    return fail(file);
  return parse_npy(*file, path.string());
}

Result<std::vector<std::byte>> npy_bytes(const core::Tensor& tensor) {
  std::string header;
  for (const auto& [dtype, name] : type_names)
    if (dtype == tensor.dtype)
      header = "{'descr': '" + std::string(name) + "', 'fortran_order': False, 'shape': (";
  if (header.empty())
    return fail(Errc::unsupported,
                "NumPy has no " + std::string(to_string(tensor.dtype)) + " elements");
  for (std::size_t d = 0; d < tensor.sizes.size(); ++d)
    header += (d == 0 ? "" : ", ") + std::to_string(tensor.sizes[d]);
  header += tensor.sizes.size() == 1 ? ",), }" : "), }";
  // The elements start at a multiple of 64 bytes, and a newline ends the header.
  const std::size_t before = magic.size() + 2 + 2;
  header.append(63 - (before + header.size()) % 64, ' ');
  header += '\n';

  std::vector<std::byte> bytes;
  bytes.reserve(before + header.size() + tensor.nbytes());
  core::ByteWriter writer(bytes);
  writer.put_bytes(std::as_bytes(std::span(magic.data(), magic.size())));
  writer.put(std::uint8_t{1});
  writer.put(std::uint8_t{0});
  writer.put(static_cast<std::uint16_t>(header.size()));
  writer.put_bytes(std::as_bytes(std::span(header.data(), header.size())));
  if (tensor.numel() > 0) {
    const core::Tensor plain = tensor.is_contiguous() ? tensor : core::contiguous_copy(tensor);
    writer.put_bytes({plain.data(), plain.nbytes()});
  }
  return bytes;
}

Result<void> save_npy(const core::Tensor& tensor, const std::filesystem::path& path) {
  auto bytes = npy_bytes(tensor);
  if (!bytes) {
    bytes.error().where = path.string();
    return fail(bytes);
  }
  return core::write_file(path, *bytes);
}

}  // namespace cleave::inline v0::data
