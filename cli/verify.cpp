// cleave verify: does a model give the same when it is cut in two, and what another runtime gave?
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/finite.hpp"
#include "cli/json_text.hpp"
#include "cli/model_options.hpp"

#include <cleave/data/npy.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/transport/codec.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <complex>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <limits>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using nlohmann::json;

struct Options {
  ModelOptions model;
  std::size_t cuts = 40;
  std::vector<std::string> data, expect;
  double tolerance = 1e-4;
  std::uint64_t seed = 0;
  bool json = false;
};

// How far two tensors are apart.
struct Difference {
  double largest = 0;   ///< absolute; infinite where only one of them is a number
  double relative = 0;  ///< to the largest magnitude of the tensor expected
  bool bit_equal = true;
};

std::string shape_text(const core::Tensor& tensor) {
  return model::to_string(model::InputSpec{"", tensor.dtype, tensor.sizes});
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float sign = (bits >> 15) != 0 ? -1.0F : 1.0F;
  if (exponent == 31)
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                               : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25));
}

template <class T>
T at(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// Element `index` of a row-major tensor, as a number of the largest kind.
std::complex<double> element(core::DType dtype, const std::byte* bytes, std::size_t index) {
  using core::DType;
  switch (dtype) {
    case DType::uint8:
    case DType::boolean:
      return at<std::uint8_t>(bytes, index);
    case DType::int8:
      return at<std::int8_t>(bytes, index);
    case DType::int16:
      return at<std::int16_t>(bytes, index);
    case DType::int32:
      return at<std::int32_t>(bytes, index);
    case DType::int64:
      return static_cast<double>(at<std::int64_t>(bytes, index));
    case DType::float16:
      return from_half(at<std::uint16_t>(bytes, index));
    case DType::bfloat16: {
      const std::uint32_t bits = std::uint32_t{at<std::uint16_t>(bytes, index)} << 16;
      float value = 0;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case DType::float32:
      return at<float>(bytes, index);
    case DType::float64:
      return at<double>(bytes, index);
    case DType::complex64:
      return at<std::complex<float>>(bytes, index);
    case DType::complex128:
      return at<std::complex<double>>(bytes, index);
  }
  return 0;
}

// Precondition: equal sizes and element types.
Difference compare(const core::Tensor& given, const core::Tensor& expected) {
  const core::Tensor a = core::contiguous_copy(given), b = core::contiguous_copy(expected);
  Difference result;
  result.bit_equal = a.nbytes() == 0 || std::memcmp(a.data(), b.data(), a.nbytes()) == 0;
  if (result.bit_equal)
    return result;
  double magnitude = 0;
  for (std::size_t i = 0; i < b.numel(); ++i) {
    const auto x = element(a.dtype, a.data(), i), y = element(b.dtype, b.data(), i);
    if (std::isfinite(std::abs(y)))
      magnitude = std::max(magnitude, std::abs(y));
    if (x == y || (std::isnan(std::abs(x)) && std::isnan(std::abs(y))))
      continue;
    const double apart = std::abs(x - y);
    result.largest = std::max(result.largest,
                              std::isnan(apart) ? std::numeric_limits<double>::infinity() : apart);
  }
  if (result.largest > 0)
    result.relative =
        magnitude > 0 ? result.largest / magnitude : std::numeric_limits<double>::infinity();
  return result;
}

std::vector<core::Tensor> tensors_of(const core::Values& values) {
  std::vector<core::Tensor> result;
  for (const core::Value& value : values)
    core::for_each_tensor(value, [&](const core::Tensor& tensor) { result.push_back(tensor); });
  return result;
}

// Of all outputs, one each.
Result<std::vector<Difference>> compare(const std::vector<core::Tensor>& given,
                                        const std::vector<core::Tensor>& expected,
                                        const std::vector<std::string>& names) {
  if (given.size() != expected.size())
    return fail(Errc::mismatch,
                "the model gives " + std::to_string(given.size()) + " tensors; " +
                    std::to_string(expected.size()) + " are expected",
                "--expect", "give one file per output, in their order");
  std::vector<Difference> result;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i].dtype != expected[i].dtype || given[i].sizes != expected[i].sizes)
      return fail(Errc::mismatch,
                  "output " + std::to_string(i) + " is a tensor " + shape_text(given[i]) +
                      ", not " + shape_text(expected[i]),
                  names.empty() ? "" : names[i]);
    result.push_back(compare(given[i], expected[i]));
  }
  return result;
}

Result<std::vector<core::Tensor>> load_all(const std::vector<std::string>& paths) {
  std::vector<core::Tensor> result;
  for (const std::string& path : paths) {
    auto tensor = data::load_npy(path);
    if (!tensor)
      return fail(tensor);
    result.push_back(std::move(*tensor));
  }
  return result;
}

Result<core::Values> inputs_for(const model::Model& model, const Options& options) {
  if (options.data.empty())
    return model.example_inputs(options.seed);
  const auto specs = model.inputs();
  if (options.data.size() != specs.size())
    return fail(Errc::invalid_argument,
                "the model takes " + std::to_string(specs.size()) + " inputs; " +
                    std::to_string(options.data.size()) + " files are given",
                "--data", "give one .npy file per input, in their order");
  auto tensors = load_all(options.data);
  if (!tensors)
    return fail(tensors);
  core::Values values;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    core::Tensor& tensor = (*tensors)[i];
    if (tensor.dtype != specs[i].dtype || tensor.sizes != specs[i].sizes)
      return fail(Errc::mismatch,
                  "input " + std::to_string(i) + " ('" + specs[i].name + "') must be " +
                      model::to_string(specs[i]) + "; the file holds " + shape_text(tensor),
                  options.data[i], "give the shape of your data with --input");
    values.emplace_back(std::move(tensor));
  }
  return values;
}

// First and last, and so many at even distances between.
std::vector<core::Cut> sample(std::span<const core::Cut> cuts, std::size_t count) {
  if (count == 0)
    return {};
  if (count == 1)
    return {cuts[cuts.size() / 2]};
  if (cuts.size() <= count)
    return {cuts.begin(), cuts.end()};
  std::vector<core::Cut> some;
  for (std::size_t i = 0; i < count; ++i) some.push_back(cuts[i * (cuts.size() - 1) / (count - 1)]);
  return some;
}

struct CutCheck {
  core::Cut cut;
  std::size_t encoded = 0;  ///< bytes with the raw codec
  std::vector<Difference> outputs;
};

Result<CutCheck> check_cut(const model::Model& model, const core::Cut& cut,
                           const core::Values& inputs, const std::vector<core::Tensor>& whole) {
  const core::CutId begin = model.cuts().front().id, end = model.cuts().back().id;
  const auto head = model.run(begin, cut.id, inputs);
  if (!head)
    return fail(head);
  const auto raw = transport::find_codec("raw");
  if (!raw)
    return fail(raw);
  std::vector<std::byte> message;
  if (auto encoded = transport::encode_values(*head, **raw, message); !encoded)
    return fail(encoded);
  transport::DecodeLimits limits;
  limits.max_bytes = std::numeric_limits<std::size_t>::max() / 2;
  const auto received = transport::decode_values(message, limits);
  if (!received)
    return fail(received);
  const auto outputs = model.run(cut.id, end, *received);
  if (!outputs)
    return fail(outputs);
  auto differences = compare(tensors_of(*outputs), whole, {});
  if (!differences)
    return fail(differences);
  return CutCheck{cut, message.size(), std::move(*differences)};
}

Difference worst(const std::vector<Difference>& outputs) {
  Difference result;
  for (const Difference& one : outputs) {
    result.largest = std::max(result.largest, one.largest);
    result.relative = std::max(result.relative, one.relative);
    result.bit_equal = result.bit_equal && one.bit_equal;
  }
  return result;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

// JSON knows no infinity.
json json_of(double value) {
  return std::isfinite(value) ? json(value) : json(number(value));
}

json json_of(const std::vector<Difference>& outputs) {
  json list = json::array();
  for (const Difference& one : outputs)
    list.push_back({{"bit_equal", one.bit_equal},
                    {"largest_difference", json_of(one.largest)},
                    {"relative_difference", json_of(one.relative)}});
  return list;
}

void print(const model::Model& model, const std::vector<CutCheck>& checks,
           const std::vector<Difference>& expected, const Options& options) {
  std::printf("%s  %s\n\n", model.name().c_str(), to_string(model.fingerprint()).c_str());
  using Align = report::TextTable::Align;
  if (!checks.empty()) {
    report::TextTable table({{"cut", Align::left},
                             {"after", Align::left},
                             {"sent", Align::right},
                             {"difference", Align::right},
                             {"relative", Align::right},
                             {"", Align::left}});
    std::size_t equal = 0;
    for (const CutCheck& check : checks) {
      const Difference one = worst(check.outputs);
      equal += one.bit_equal ? 1 : 0;
      table.add_row({to_string(check.cut.id),
                     check.cut.layer.empty() ? check.cut.op : check.cut.layer,
                     report::format(core::Bytes(static_cast<double>(check.encoded))),
                     number(one.largest), number(one.relative),
                     one.bit_equal                       ? "bit-equal"
                     : one.relative <= options.tolerance ? "within the tolerance"
                                                         : "FAILED"});
    }
    std::cout << table.text();
    std::printf("\nhead + raw codec + tail against the whole: bit-equal at %zu of %zu cuts\n",
                equal, checks.size());
  }
  for (std::size_t i = 0; i < expected.size(); ++i)
    std::printf("output %zu against %s: largest difference %s, relative %s%s\n", i,
                options.expect[i].c_str(), number(expected[i].largest).c_str(),
                number(expected[i].relative).c_str(),
                expected[i].bit_equal                       ? ", bit-equal"
                : expected[i].relative <= options.tolerance ? ""
                                                            : "  FAILED");
  std::fflush(stdout);
}

Result<bool> verify(const Options& options) {
  const auto model = load_model(options.model);
  if (!model)
    return fail(model);
  const auto inputs = inputs_for(**model, options);
  if (!inputs)
    return fail(inputs);
  const auto saved = load_all(options.expect);
  if (!saved)
    return fail(saved);
  if (!options.expect.empty() && options.data.empty())
    return fail(Errc::invalid_argument,
                "outputs can be compared for the inputs they came from only", "--expect",
                "give these with --data");
  const auto cuts = (*model)->cuts();
  const auto outputs = (*model)->run(cuts.front().id, cuts.back().id, *inputs);
  if (!outputs)
    return fail(outputs);
  const std::vector<core::Tensor> whole = tensors_of(*outputs);
  std::vector<Difference> expected;
  if (!options.expect.empty()) {
    auto compared = compare(whole, *saved, options.expect);
    if (!compared)
      return fail(compared);
    expected = std::move(*compared);
  }
  std::vector<CutCheck> checks;
  for (const core::Cut& cut : sample(cuts, options.cuts)) {
    auto check = check_cut(**model, cut, *inputs, whole);
    if (!check)
      return fail(check.error().code, "at cut " + to_string(cut.id) + ": " + check.error().what,
                  check.error().where, check.error().hint);
    checks.push_back(std::move(*check));
  }
  bool passed = worst(expected).relative <= options.tolerance;
  for (const CutCheck& check : checks)
    passed = passed && worst(check.outputs).relative <= options.tolerance;
  if (!options.json) {
    print(**model, checks, expected, options);
    return passed;
  }
  json list = json::array();
  for (const CutCheck& check : checks)
    list.push_back({{"id", to_string(check.cut.id)},
                    {"position", check.cut.position},
                    {"layer", check.cut.layer},
                    {"op", check.cut.op},
                    {"sent_bytes", check.encoded},
                    {"outputs", json_of(check.outputs)}});
  const json told{{"name", (*model)->name()},
                  {"fingerprint", to_string((*model)->fingerprint())},
                  {"tolerance", options.tolerance},
                  {"passed", passed},
                  {"cuts", list},
                  {"expected", json_of(expected)}};
  std::cout << json_text(told) << '\n';
  return passed;
}

}  // namespace

void add_verify(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", summary_of("verify"));
  add_model_options(*command, options->model, true);
  command
      ->add_option("--cuts", options->cuts,
                   "Check so many cuts, at even distances (the first and the last among them)")
      ->capture_default_str();
  command->add_option("--data", options->data,
                      "The inputs, one .npy file each (none: drawn from a normal distribution)");
  command->add_option("--expect", options->expect,
                      "What another runtime gives for --data, one .npy file per output");
  command
      ->add_option("--tolerance", options->tolerance,
                   "Largest difference allowed, relative to the largest number of the output")
      ->check(CLI::NonNegativeNumber & finite())
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of inputs that are drawn")->capture_default_str();
  add_json_flag(*command, options->json);
  command->footer(
      "Exits with 6 if a difference is larger than the tolerance.\n\n"
      "Examples:\n"
      "  cleave verify resnet50.pt --input 1x3x224x224 --cuts 20\n"
      "  cleave verify m.pt --data image.npy --expect logits.npy --tolerance 1e-4");
  command->callback([options, &result] {
    const auto passed = verify(*options);
    if (!passed)
      result = print_error(passed.error());
    else if (!*passed) {
      std::cerr << "cleave: a difference is larger than the tolerance of "
                << number(options->tolerance) << '\n';
      result = differs;
    }
  });
}

}  // namespace cleave::cli
