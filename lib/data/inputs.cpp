#include "lib/data/csv.hpp"
#include "lib/data/sources.hpp"

#include <cleave/data/idx.hpp>
#include <cleave/data/inputs.hpp>
#include <cleave/data/npy.hpp>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <fstream>

namespace cleave::inline v0::data {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using core::fail;
using core::Result;
using SourcePointer = std::shared_ptr<LabelledInputs::Source>;

constexpr std::size_t directory_limit = std::size_t{1} << 22;

enum class Kind { idx, npy, picture, csv, unknown };

std::string extension_of(const fs::path& path) {
  std::string text = path.extension().string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_picture_name(const fs::path& path) {
  const std::string extension = extension_of(path);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Result<Kind> kind_of(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    return fail(Errc::not_found, "no such file or directory", path.string(), "check the path");
  if (status.type() != fs::file_type::regular)
    return fail(error ? Errc::permission_denied : Errc::invalid_argument,
                error ? error.message() : "neither a file nor a directory", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(Errc::permission_denied, "cannot be opened", path.string(),
                "check the permissions");
  std::string start(8, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (start.starts_with("\x93NUMPY"))
    return Kind::npy;
  if (start.starts_with("\x89PNG") || start.starts_with("\xff\xd8\xff"))
    return Kind::picture;
  const std::string extension = extension_of(path);
  if (extension == ".csv" || extension == ".txt")
    return Kind::csv;
  if (start.starts_with("\x1f\x8b") || start.starts_with(std::string_view("\0\0", 2)))
    return Kind::idx;
  return Kind::unknown;
}

tl::unexpected<core::Error> unknown_kind(const fs::path& path) {
  return fail(Errc::unsupported, "neither IDX, .npy, .csv, PNG nor JPEG", path.string());
}

// What a directory holds, in the order of the names.
Result<std::vector<fs::path>> entries(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    paths.push_back(it->path());
    if (paths.size() > directory_limit)
      return fail(Errc::exhausted,
                  "more than " + std::to_string(directory_limit) + " entries in a directory",
                  directory.string());
  }
  if (error)
    return fail(error == std::errc::permission_denied ? Errc::permission_denied : Errc::io,
                error.message(), directory.string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<SourcePointer> open_directory(const fs::path& path) {
  const auto top = entries(path);
  if (!top)
    return fail(top);
  std::vector<fs::path> pictures;
  std::vector<std::int32_t> labels;
  std::vector<std::string> classes;
  std::error_code ignored;
  for (const fs::path& entry : *top)
    if (is_picture_name(entry) && fs::is_regular_file(entry, ignored))
      pictures.push_back(entry);
  const bool flat = !pictures.empty();
  for (const fs::path& entry : *top) {
    if (!fs::is_directory(entry, ignored))
      continue;
    const auto inside = entries(entry);
    if (!inside)
      return fail(inside);
    const std::size_t before = pictures.size();
    for (const fs::path& file : *inside)
      if (is_picture_name(file) && fs::is_regular_file(file, ignored))
        pictures.push_back(file);
    if (pictures.size() == before)
      continue;
    if (flat)
      return fail(Errc::mismatch,
                  "pictures both here and in the sub-folder " + entry.filename().string() +
                      ": which are meant?",
                  path.string(), "move either of them elsewhere");
    labels.resize(pictures.size(), static_cast<std::int32_t>(classes.size()));
    classes.push_back(entry.filename().string());
  }
  if (pictures.empty())
    return fail(Errc::not_found, "no .png, .jpg or .jpeg in this directory or its sub-folders",
                path.string());
  SourcePointer source = file_source(std::move(pictures));
  source->labels = std::move(labels);
  source->class_names = std::move(classes);
  return source;
}

Result<SourcePointer> open_file(const fs::path& path, Kind kind) {
  const std::string where = path.string();
  switch (kind) {
    case Kind::idx: {
      auto tensor = load_idx(path);
      return tensor ? tensor_source(std::move(*tensor), where) : fail(tensor);
    }
    case Kind::npy: {
      auto tensor = load_npy(path);
      return tensor ? tensor_source(std::move(*tensor), where) : fail(tensor);
    }
    case Kind::picture:
      return file_source({path});
    case Kind::csv: {
      auto inputs = read_csv_inputs(path);
      if (!inputs)
        return fail(inputs);
      core::Tensor tensor = core::empty_tensor(core::DType::float32,
                                               {static_cast<std::int64_t>(inputs->labels.size()),
                                                static_cast<std::int64_t>(inputs->width)});
      std::memcpy(tensor.data(), inputs->values.data(), tensor.nbytes());
      auto source = tensor_source(std::move(tensor), where);
      if (source)
        (*source)->labels = std::move(inputs->labels);
      return source;
    }
    case Kind::unknown:
      break;
  }
  return unknown_kind(path);
}

template <class T>
Result<std::vector<std::int32_t>> classes_of(const core::Tensor& tensor, const fs::path& path) {
  std::vector<std::int32_t> labels;
  labels.reserve(tensor.numel());
  for (std::size_t i = 0; i < tensor.numel(); ++i) {
    const auto value = static_cast<std::int64_t>(tensor.data_as<const T>()[i]);
    if (value < 0 || value > INT32_MAX)
      return fail(Errc::corrupt, std::to_string(value) + " is not a class number",
                  path.string() + "[" + std::to_string(i) + "]");
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

Result<std::vector<std::int32_t>> read_labels(const fs::path& path) {
  const auto kind = kind_of(path);
  if (!kind)
    return fail(kind);
  if (*kind == Kind::csv)
    return read_csv_labels(path);
  if (*kind != Kind::idx && *kind != Kind::npy)
    return fail(Errc::unsupported, "labels are read from IDX, .npy and .csv files", path.string());
  const auto tensor = *kind == Kind::idx ? load_idx(path) : load_npy(path);
  if (!tensor)
    return fail(tensor);
  if (tensor->sizes.size() != 1)
    return fail(Errc::unsupported,
                "labels of " + std::to_string(tensor->sizes.size()) + " dimensions, not 1",
                path.string());
  switch (tensor->dtype) {
    case core::DType::uint8:
      return classes_of<std::uint8_t>(*tensor, path);
    case core::DType::int8:
      return classes_of<std::int8_t>(*tensor, path);
    case core::DType::int16:
      return classes_of<std::int16_t>(*tensor, path);
    case core::DType::int32:
      return classes_of<std::int32_t>(*tensor, path);
    case core::DType::int64:
      return classes_of<std::int64_t>(*tensor, path);
    default:
      return fail(Errc::unsupported, "labels that are not whole numbers", path.string());
  }
}

// Labels of a flat directory go by file name, so that neither order nor a missing one can shift
// them.
Result<std::vector<std::int32_t>> read_named_labels(const fs::path& path,
                                                    const LabelledInputs::Source& source) {
  const auto named = read_csv_named_labels(path);
  if (!named)
    return fail(named);
  std::vector<std::int32_t> labels;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::string name = fs::path(source.name(i)).filename().string();
    const auto found = named->find(name);
    if (found == named->end())
      return fail(Errc::mismatch, "no class for " + name, path.string());
    labels.push_back(found->second);
  }
  return labels;
}

}  // namespace

LabelledInputs::LabelledInputs(std::shared_ptr<const Source> source) : source_(std::move(source)) {}

std::size_t LabelledInputs::size() const {
  return source_->size();
}

std::int32_t LabelledInputs::label(std::size_t index) const {
  return source_->labels.empty() ? -1 : source_->labels[index];
}

bool LabelledInputs::labelled() const {
  return !source_->labels.empty();
}

std::string LabelledInputs::name(std::size_t index) const {
  return source_->name(index);
}

const std::vector<std::string>& LabelledInputs::class_names() const {
  return source_->class_names;
}

Result<core::Tensor> LabelledInputs::input(std::size_t index, std::span<const std::int64_t> sizes,
                                           const InputOptions& options) const {
  if (index >= size())
    return fail(Errc::not_found,
                "there is no input " + std::to_string(index) + " among " + std::to_string(size()));
  return source_->input(index, sizes, options);
}

Result<LabelledInputs> open_inputs(const fs::path& path, const std::optional<fs::path>& labels) {
  std::error_code ignored;
  const bool directory = fs::is_directory(path, ignored);
  Result<SourcePointer> source;
  if (directory) {
    source = open_directory(path);
  } else {
    const auto kind = kind_of(path);
    source = kind ? open_file(path, *kind) : fail(kind);
  }
  if (!source)
    return fail(source);
  if (labels) {
    if (!(*source)->labels.empty())
      return fail(Errc::invalid_argument, "the inputs have labels already: " + path.string(),
                  labels->string(), "leave the labels file out");
    auto classes = directory ? read_named_labels(*labels, **source) : read_labels(*labels);
    if (!classes)
      return fail(classes);
    if (classes->size() != (*source)->size())
      return fail(Errc::mismatch,
                  std::to_string(classes->size()) + " labels for the " +
                      std::to_string((*source)->size()) + " inputs of " + path.string(),
                  labels->string());
    (*source)->labels = std::move(*classes);
  }
  return LabelledInputs(std::move(*source));
}

}  // namespace cleave::inline v0::data
