// Hostile networks by the hundred: no cut that is offered changes a result.
//
// CLEAVE_ALIAS_SEED and CLEAVE_ALIAS_GRAPHS choose the first seed and how many follow it.
#include "tests/model/hostile_source.hpp"
#include "tests/model/on_device.hpp"

#include <cleave/transport/codec.hpp>

#include <ATen/Parallel.h>

#include <cstdlib>
#include <iostream>

namespace cleave::test {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

core::Tensor random_square(std::int64_t size, std::mt19937_64& random) {
  core::Tensor tensor = core::empty_tensor(core::DType::float32, {size, size});
  for (std::size_t i = 0; i < tensor.numel(); ++i)
    tensor.data_as<float>()[i] = static_cast<float>(random() >> 40) * 0x1p-23F - 1.0F;
  return tensor;
}

// x, y, k and l; `alike`: one tensor in several places.
core::Values inputs_of(std::int64_t size, std::uint64_t seed, bool alike) {
  std::mt19937_64 random(seed);
  const core::Tensor x = random_square(size, random);
  core::Value::List list;
  list.element = "Tensor";
  list.items.emplace_back(alike ? x : random_square(size, random));
  list.items.emplace_back(random_square(size, random));
  return {x, alike ? x : random_square(size, random), static_cast<std::int64_t>(seed % 4), list};
}

// What the module itself gives, line by line; nothing if libtorch cannot run it. Inputs that share
// memory share that of the copies.
std::optional<core::Values> by_itself(torch::jit::Module module, const core::Values& inputs) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard line_by_line(false);
  std::map<const void*, at::Tensor> copies;
  const auto copy = [&](const core::Tensor& tensor) {
    auto& known = copies[tensor.storage.get()];
    if (!known.defined())
      known = model::to_torch(tensor).clone();
    return known.detach();
  };
  c10::List<at::Tensor> list;
  for (const core::Value& item : std::get<core::Value::List>(inputs[3].data).items)
    list.push_back(copy(*item.tensor()));
  try {
    const c10::IValue given = module.forward({copy(*inputs[0].tensor()), copy(*inputs[1].tensor()),
                                              std::get<std::int64_t>(inputs[2].data), list});
    auto converted = model::from_torch(given);
    if (!converted)
      return std::nullopt;
    return core::Values{*std::move(converted)};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

core::Values through_the_codec(const core::Values& values) {
  std::vector<std::byte> message;
  const auto codec = transport::find_codec("raw");
  if (!codec || !transport::encode_values(values, **codec, message))
    throw std::runtime_error("the values cannot be encoded");
  auto received = transport::decode_values(message);
  if (!received)
    throw std::runtime_error(received.error().message());
  return *std::move(received);
}

struct Counts {
  std::size_t graphs = 0, unrunnable = 0, refused_models = 0, loaded = 0;
  std::size_t cuts = 0, refused_cuts = 0, refused_runs = 0, compared = 0;
  std::map<std::string, std::size_t> reasons;
};

// One set of inputs: the whole against the module, and every cut against the whole.
void check_inputs(const model::Model& model, const torch::jit::Module& module,
                  const core::Values& inputs, std::uint64_t seed, double tolerance,
                  Counts& counts) {
  const auto expected = by_itself(module, inputs);
  if (!expected)
    return;
  const core::Values given = resettled(inputs);
  const auto cuts = model.cuts();
  const auto first = cuts.front().id, last = cuts.back().id;
  const auto whole = model.run(first, last, inputs);
  EXPECT_TRUE(bit_equal(inputs, given)) << "the inputs were changed";
  if (!whole) {
    EXPECT_EQ(whole.error().code, core::Errc::unsupported)
        << "the module runs, but: " << whole.error().message();
    ++counts.refused_runs;
    return;
  }
  EXPECT_LT(relative_difference(*whole, *expected), tolerance) << "the whole";
  std::size_t index = 0;
  for (const core::Cut& cut : cuts) {
    SCOPED_TRACE("cut at " + std::to_string(cut.position) + " after " + cut.op);
    const auto across = model.run(first, cut.id, inputs);
    if (!across) {
      EXPECT_EQ(across.error().code, core::Errc::unsupported) << across.error().message();
      ++counts.refused_runs;
      continue;
    }
    // Copies of their own each, as a caller may send them, or as cleave's peer receives them.
    const core::Values received =
        (++index + seed) % 2 ? resettled(*across) : through_the_codec(*across);
    const auto outputs = model.run(cut.id, last, received);
    EXPECT_TRUE(outputs) << outputs.error().message();
    if (outputs) {
      EXPECT_TRUE(bit_equal(*outputs, *whole));
    }
    // The caller's own values, which it may need again.
    const core::Values kept = resettled(*across);
    const auto again = model.run(cut.id, last, *across);
    EXPECT_TRUE(again && bit_equal(*again, *whole));
    EXPECT_TRUE(bit_equal(*across, kept)) << "the tail changed what crossed";
    ++counts.compared;
  }
  EXPECT_TRUE(bit_equal(inputs, given)) << "the inputs were changed";
}

void check_graph(std::uint64_t seed, const std::string& device, double tolerance, Counts& counts) {
  const std::string source = HostileSource(seed).forward();
  SCOPED_TRACE("CLEAVE_ALIAS_SEED=" + std::to_string(seed) + " CLEAVE_ALIAS_GRAPHS=1\n" + source);
  ++counts.graphs;
  const torch::jit::Module module = script(source);
  if (!by_itself(module, inputs_of(4, seed, false))) {
    ++counts.unrunnable;
    return;
  }
  model::LoadOptions options;
  options.all_cuts = true;
  options.device = device;
  for (const char* text : {"4x4", "4x4"}) options.inputs.push_back(*model::parse_input_spec(text));
  options.inputs.push_back(*model::parse_input_spec("int:" + std::to_string(seed % 3)));
  options.inputs.push_back(*model::parse_input_spec("[4x4,4x4]"));
  const auto model = model::from_module(module, "hostile", options);
  if (!model) {
    EXPECT_FALSE(model.error().what.empty());
    // Not on the example inputs, or not at all.
    EXPECT_TRUE(model.error().code == core::Errc::invalid_argument ||
                model.error().code == core::Errc::unsupported)
        << model.error().message();
    ++counts.refused_models;
    ++counts.reasons[model.error().what.substr(0, 60)];
    return;
  }
  ++counts.loaded;
  counts.cuts += (*model)->cuts().size();
  counts.refused_cuts += (*model)->refused_cuts().size();
  for (const model::RefusedCut& refused : (*model)->refused_cuts())
    EXPECT_NE(refused.reason.find(':'), std::string::npos) << refused.reason;
  // Other numbers take other branches; other sizes, other loops, one tensor in several places.
  for (std::uint64_t i = 0; i < 3; ++i)
    check_inputs(**model, module, inputs_of(4, seed + i, false), seed, tolerance, counts);
  check_inputs(**model, module, inputs_of(5, seed, false), seed, tolerance, counts);
  check_inputs(**model, module, inputs_of(4, seed, true), seed, tolerance, counts);
}

using AliasRandom = OnDevice;

INSTANTIATE_TEST_SUITE_P(Devices, AliasRandom, testing::ValuesIn(devices()), device_name);

TEST_P(AliasRandom, NoCutOfAHostileNetworkChangesAResult) {
  const std::uint64_t first = from_environment("CLEAVE_ALIAS_SEED", 1);
  const std::uint64_t count = from_environment("CLEAVE_ALIAS_GRAPHS", 400);
  at::set_num_threads(1);
  Counts counts;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    check_graph(seed, device(), tolerance(), counts);
    if (HasFailure() && std::getenv("CLEAVE_ALIAS_GO_ON") == nullptr)
      break;  // one wrong result says enough
  }
  std::cout << counts.graphs << " graphs: " << counts.loaded << " loaded with " << counts.cuts
            << " cuts (" << counts.refused_cuts << " places refused), " << counts.compared
            << " comparisons, " << counts.refused_runs << " runs refused; " << counts.refused_models
            << " models refused, " << counts.unrunnable << " that libtorch cannot run\n";
  for (const auto& [reason, times] : counts.reasons)
    std::cout << "  " << times << " x " << reason << "\n";
  if (count >= 100 && !HasFailure()) {
    EXPECT_GT(counts.loaded, counts.graphs / 2);
    EXPECT_GT(counts.cuts, 5 * counts.graphs);
    EXPECT_GT(counts.compared, 15 * counts.graphs);
    EXPECT_GT(counts.refused_cuts, counts.graphs);
  }
}

}  // namespace
}  // namespace cleave::test
